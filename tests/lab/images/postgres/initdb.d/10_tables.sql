-- The archive's tables as of 5.31, in miniature: those that updates touch and what hangs on them.
create sequence patient_pk_seq; create sequence study_pk_seq; create sequence series_pk_seq;
create sequence instance_pk_seq; create sequence task_pk_seq;
create table patient (pk bigint not null default nextval('patient_pk_seq') primary key, pat_id varchar(255) not null,
    pat_name varchar(255), pat_birthdate varchar(255), pat_sex varchar(255), created_time timestamp not null default now(),
    updated_time timestamp not null default now(), version bigint default 0);
create table study (pk bigint not null default nextval('study_pk_seq') primary key, patient_fk bigint not null references patient,
    study_iuid varchar(255) not null unique, accession_no varchar(255), study_date varchar(255), study_desc varchar(255),
    access_control_id varchar(255) not null default '*', rejection_state integer not null default 0, study_size bigint not null default -1,
    ext_retrieve_aet varchar(255), created_time timestamp not null default now());
create table series (pk bigint not null default nextval('series_pk_seq') primary key, study_fk bigint not null references study,
    series_iuid varchar(255) not null unique, series_no integer, modality varchar(255), body_part varchar(255), station_name varchar(255),
    ext_retrieve_aet varchar(255), series_size bigint not null default -1, created_time timestamp not null default now());
create table instance (pk bigint not null default nextval('instance_pk_seq') primary key, series_fk bigint not null references series,
    sop_iuid varchar(255) not null unique, sop_cuid varchar(255) not null, inst_no integer, availability integer not null default 0,
    ext_retrieve_aet varchar(255), num_frames integer, created_time timestamp not null default now());
create table task (pk bigint not null default nextval('task_pk_seq') primary key, task_type integer not null, task_status integer not null,
    queue_name varchar(255) not null, exporter_id varchar(255), device_name varchar(255) not null, created_time timestamp not null default now());
