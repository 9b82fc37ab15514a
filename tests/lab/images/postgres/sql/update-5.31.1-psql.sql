-- An index that 5.31.0 forgot.
create index idx_task_exporter on task (exporter_id);
