//! The module `docker_volume`.

use std::collections::BTreeMap;

use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::resource::Kind;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::image_module::State;
use super::kind::Container;
use super::volume::{Volume, VolumeKey, VolumeWant, other};

/// The module.
pub struct DockerVolume;

/// A volume that shall be there, or not.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Its name.
    #[serde(alias = "volume_name")]
    pub name: String,
    /// `present` (the default) or `absent`.
    #[serde(default)]
    pub state: State,
    /// Its driver; a new one is `local`.
    #[serde(default)]
    pub driver: Option<String>,
    /// Options of the driver that it has to have: `{type: nfs, o: "addr=10.0.0.5,rw", device: ":/images"}`.
    #[serde(default)]
    pub driver_options: BTreeMap<String, String>,
    /// Labels that it has to have.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether a volume that is there with other options is removed, with all that it holds, and made anew.
    #[serde(default)]
    pub recreate: Recreate,
}

/// When a volume is made anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Recreate {
    /// Never: where it is another than wanted, the task fails.
    #[default]
    Never,
    /// Where its driver, an option or a label is another. What it holds is lost.
    OptionsChanged,
}

impl Module for DockerVolume {
    type Args = Args;

    const NAME: &'static str = "docker_volume";
    const SUMMARY: &'static str = "Makes or removes a volume.";
    const DOC: &'static str = "\
## Example

    - docker_volume: {name: arc-images, driver_options: {type: nfs, o: \"addr=10.0.0.5,rw\", device: \":/images\"}}

A container that names a volume which is not there gets an empty one from Docker; where it has to be a certain one, this makes
it first.

## Check mode

Exact. Whether a volume that is not there yet comes with a container that an earlier task makes is not known.

## Refused

A volume that a container mounts, running or not, is never removed. One that is there with another driver, option or label is
not changed, since Docker cannot; `recreate: options-changed` removes it, with what it holds, and makes it anew.

## Way back

A volume that the run has made stays, since containers may have stored something in it; `--also` removes it. What was removed
does not come back: the plan says so beforehand.

## Requirements

A Docker daemon, as for `docker_container`.
";

    fn touches(args: &Args) -> Footprint {
        // A volume comes with a container that names it, and goes only after it.
        Footprint::nothing()
            .writes(Volume::NAME, &args.name)
            .reads(Container::NAME, "*")
    }

    fn want(args: &Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let key = VolumeKey {
            name: args.name.clone(),
        };
        let want = VolumeWant {
            present: args.state == State::Present,
            driver: args.driver.clone(),
            options: args.driver_options.clone(),
            labels: args.labels.clone(),
        };
        if want.present && args.recreate == Recreate::Never {
            let now = world.get::<Volume>(&key)?;
            let differs = other(&want, &now);
            if now.exists && !differs.is_empty() {
                return Err(Stop::refuse(format!(
                    "volume {} is another: {}. Docker cannot change a volume; `recreate: options-changed` removes it, with what it \
                     holds, and makes it anew",
                    args.name,
                    differs.join(", ")
                )));
            }
        }
        Ok(Wanted::one::<Volume>(&key, &want))
    }
}
