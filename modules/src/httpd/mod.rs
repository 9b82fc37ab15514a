//! The Apache HTTP Server: its configuration.

mod access;
#[cfg(test)]
mod alias_cases;
mod available;
mod conf;
#[cfg(test)]
mod directive_cases;
mod effective;
mod extensions;
pub mod httpd_alias;
pub mod httpd_directive;
pub mod httpd_module;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod module_cases;
mod nature;
pub mod program;
mod rival;
#[cfg(test)]
mod scene;
mod section;
mod site;
mod tree;
mod words;
