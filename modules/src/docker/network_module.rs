//! The module `docker_network`.

use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::resource::Kind;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::image_module::State;
use super::network::{Network, NetworkKey, NetworkWant};

/// The module.
pub struct DockerNetwork;

/// A network that shall be there, or not.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Its name.
    #[serde(alias = "network_name")]
    pub name: String,
    /// `present` (the default) or `absent`.
    #[serde(default)]
    pub state: State,
    /// Its driver; a new one is a `bridge`.
    #[serde(default)]
    pub driver: Option<String>,
    /// Its subnet, `10.1.0.0/24`; without it Docker chooses.
    #[serde(default)]
    pub subnet: Option<String>,
}

impl Module for DockerNetwork {
    type Args = Args;

    const NAME: &'static str = "docker_network";
    const SUMMARY: &'static str = "Makes or removes a network.";
    const DOC: &'static str = "\
## Example

    - docker_network: {name: dcm4chee_default}

## Check mode

Exact.

## Way back

All of it. A network with containers in it is never changed or removed.

## Requirements

A Docker daemon, as for `docker_container`.
";

    fn touches(args: &Args) -> Footprint {
        Footprint::nothing().writes(Network::NAME, &args.name)
    }

    fn want(args: &Args, _: &View<'_>) -> Result<Wanted, Stop> {
        let key = NetworkKey {
            name: args.name.clone(),
        };
        let present = args.state == State::Present;
        Ok(Wanted::one::<Network>(
            &key,
            &NetworkWant {
                present,
                driver: args.driver.clone(),
                subnet: args.subnet.clone(),
                ..NetworkWant::default()
            },
        ))
    }
}
