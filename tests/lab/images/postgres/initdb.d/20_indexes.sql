create index idx_study_patient on study (patient_fk);
create index idx_series_study on series (study_fk);
create index idx_instance_series on instance (series_fk);
create index idx_study_accession on study (accession_no);
create index idx_patient_name on patient (upper(pat_name));
create index idx_task_queue on task (queue_name);
