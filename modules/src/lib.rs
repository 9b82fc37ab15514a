//! See ARCHITECTURE.md.

pub mod command;
pub mod docker;
pub mod file;
pub mod flow;
pub mod httpd;
pub mod ldap;
pub mod net;
pub mod php;
pub mod postgres;
#[cfg(test)]
#[path = "../../tests/realdata.rs"]
mod realdata;
pub mod selinux;
pub mod signature;
#[cfg(test)]
#[path = "../../tests/skip.rs"]
mod skip;

use runbook_engine::registry::Registry;

/// Every module, resource kind and action kind there is.
#[must_use]
pub fn registry() -> Registry {
    Registry::new()
        .kind(file::FileKind)
        .kind(file::account::AccountKind)
        .kind(file::contents::ContentKind)
        .kind(file::listing::ListingKind)
        .kind(file::place::PathKind)
        .kind(command::matches::GlobKind)
        .kind(command::query::CommandOutput)
        .kind(docker::compose::Project)
        .kind(docker::Container)
        .kind(docker::archive::ImageArchive)
        .kind(docker::exec::ExecOutput)
        .kind(docker::image::Image)
        .kind(docker::image::ImageFiles)
        .kind(docker::network::Network)
        .kind(docker::registry::RegistryImage)
        .kind(docker::volume::Volume)
        .kind(httpd::program::Httpd)
        .kind(ldap::entry_kind::LdapEntry)
        .kind(ldap::schema_kind::LdapSchema)
        .kind(ldap::listing::LdapListing)
        .kind(ldap::search_kind::LdapSearch)
        .kind(net::http::HttpKind)
        .kind(php::program::Php)
        .kind(postgres::schema_kind::PgSchema)
        .kind(postgres::facts_kind::PgFacts)
        .kind(postgres::database_kind::PgDatabase)
        .kind(postgres::dump_file::PgDumpFile)
        .kind(postgres::rows_kind::PgRows)
        .kind(selinux::Fcontext)
        .kind(selinux::Labels)
        .kind(selinux::policy::Selinux)
        .action(command::exec::Exec)
        .action(docker::exec::Exec)
        .action(docker::oneshot::OneshotRun)
        .action(docker::restart::Restart)
        .action(file::directory_dump::Dump)
        .action(flow::pause::Sleep)
        .action(ldap::export::Export)
        .action(net::uri::HttpRequest)
        .action(net::wait_for::Wait)
        .action(postgres::pg_dump::Dump)
        .action(postgres::pg_restore::Restore)
        .module::<command::command::Command>()
        .module::<command::shell::Shell>()
        .module::<docker::compose::module::DockerCompose>()
        .module::<docker::container::DockerContainer>()
        .module::<docker::exec::DockerExec>()
        .module::<docker::image_module::DockerImage>()
        .module::<docker::network_module::DockerNetwork>()
        .module::<docker::volume_module::DockerVolume>()
        .module::<file::blockinfile::BlockInFile>()
        .module::<file::copy::Copy>()
        .module::<file::directory_dump::DirectoryDump>()
        .module::<file::env_file::EnvFile>()
        .module::<file::file::File>()
        .module::<file::ini_file::IniFile>()
        .module::<file::lineinfile::LineInFile>()
        .module::<file::replace::Replace>()
        .module::<file::slurp::Slurp>()
        .module::<file::stat::Stat>()
        .module::<file::template::Template>()
        .module::<flow::assert::Assert>()
        .module::<flow::debug::Debug>()
        .module::<flow::fail::Fail>()
        .module::<flow::pause::Pause>()
        .module::<flow::set_fact::SetFact>()
        .module::<httpd::httpd_alias::HttpdAlias>()
        .module::<httpd::httpd_directive::HttpdDirective>()
        .module::<httpd::httpd_module::HttpdModule>()
        .module::<ldap::attrs::LdapAttrs>()
        .module::<ldap::entry_module::LdapEntryModule>()
        .module::<ldap::export::LdapExport>()
        .module::<ldap::restore::LdapRestore>()
        .module::<ldap::search::LdapSearchModule>()
        .module::<ldap::update::LdapUpdate>()
        .module::<net::uri::UriModule>()
        .module::<net::wait_for::WaitFor>()
        .module::<php::php_ini::PhpIni>()
        .module::<postgres::pg_dump::PgDump>()
        .module::<postgres::pg_database::PgDatabaseModule>()
        .module::<postgres::pg_info::PgInfo>()
        .module::<postgres::pg_restore::PgRestore>()
        .module::<postgres::pg_schema::PgSchemaModule>()
        .module::<signature::verify_signature::VerifySignature>()
        .module::<selinux::selinux_fcontext::SelinuxFcontext>()
}
