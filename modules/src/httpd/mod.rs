//! The Apache HTTP Server: its configuration.

mod access;
#[cfg(test)]
mod cases;
mod conf;
mod effective;
pub mod httpd_alias;
#[cfg(test)]
mod laws;
pub mod program;
mod site;
mod tree;
mod words;
