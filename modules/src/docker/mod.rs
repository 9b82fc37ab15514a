//! Docker: containers, images, networks and volumes as resources, commands in containers.

pub mod adopt;
pub mod archive;
mod aside;
pub mod body;
pub mod client;
pub mod compose;
pub mod container;
pub mod desired;
mod earlier;
pub mod exec;
pub mod health;
pub mod image;
pub mod image_module;
pub mod inspect;
pub mod kind;
mod log;
mod look;
pub mod network;
pub mod network_module;
pub mod oneshot;
mod recover;
pub mod registry;
mod replace;
pub mod restart;
mod saved;
pub mod secret;
pub mod spec;
mod starting;
pub mod state;
mod unpacked;
pub mod volume;
pub mod volume_module;
mod write;

pub use kind::{Container, address_in, address_of};
pub use state::{ContainerKey, ContainerState, ContainerWant};
