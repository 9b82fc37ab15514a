-- Third part: the new archive may be running already.
alter table instance alter ext_retrieve_aet set not null;
alter table series alter ext_retrieve_aet set not null;
alter table study alter study_deleting set not null;
