-- First part: the archive of the version before may go on working.
update instance set ext_retrieve_aet = '*' where ext_retrieve_aet is null;
update series set ext_retrieve_aet = '*' where ext_retrieve_aet is null;
alter table study add study_deleting boolean;
update study set study_deleting = false;
