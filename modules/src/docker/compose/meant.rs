//! Which services a task is about, and what it wants of the container of each. Pure.

use runbook_engine::module::Stop;

use super::super::container::seconds;
use super::super::desired::desired;
use super::super::image::{ImageKey, ImageState};
use super::super::spec;
use super::super::state::{
    ContainerKey, ContainerState, ContainerWant, Wanted as Doing, WantedImage,
};
use super::config::Config;
use super::file;
use super::module::Args;
use super::order::in_order;
use super::project::ProjectState;
use super::{Call, Composed};

/// What the task is about, once compose has been asked.
pub(super) struct Meant<'a> {
    pub args: &'a Args,
    /// The project's variables.
    pub env: &'a str,
    pub call: &'a Call,
    pub state: &'a ProjectState,
    pub config: &'a Config,
}

impl Meant<'_> {
    /// The services, each behind those that it needs, and of these those that only have to have ended.
    pub(super) fn services(&self) -> Result<(Vec<String>, Vec<String>), Stop> {
        let all: Vec<String> = self.config.services.keys().cloned().collect();
        let asked = match &self.args.services {
            Some(asked) => asked.clone(),
            None => all.iter().filter(|s| self.is_enabled(s)).cloned().collect(),
        };
        if let Some(service) = asked.iter().find(|s| !all.contains(s)) {
            return Err(Stop::refuse(format!(
                "project {} has no service {service}; it has {}",
                self.call.project,
                all.join(", ")
            )));
        }
        let mut order = in_order(&asked, &self.config.needs());
        order.retain(|s| self.args.dependencies || asked.contains(s));
        let args = self.args;
        let mut named = args
            .images
            .keys()
            .chain(args.healthy.keys())
            .chain(args.save.keys());
        if let Some(service) = named.find(|s| !order.contains(s)) {
            return Err(Stop::refuse(format!(
                "{service} is none of the services that this task is about: {}",
                order.join(", ")
            )));
        }
        let ending = self.config.ending();
        Ok(order.into_iter().partition(|s| !ending.contains(s)))
    }

    /// Belongs it to no profile, or to one that counts?
    fn is_enabled(&self, service: &str) -> bool {
        let profiles = self.config.services[service].get("profiles");
        let mut own = profiles
            .and_then(|p| p.as_array())
            .into_iter()
            .flatten()
            .peekable();
        let more = file::variable(self.env, "COMPOSE_PROFILES").unwrap_or_default();
        let counts = |profile: &str| {
            let mut named = self
                .args
                .profiles
                .iter()
                .map(String::as_str)
                .chain(more.split(','));
            named.any(|p| p.trim() == profile)
        };
        own.peek().is_none() || own.filter_map(|p| p.as_str()).any(counts)
    }

    /// The names of their containers.
    pub(super) fn containers(&self, services: &[String]) -> Result<Vec<String>, Stop> {
        services.iter().map(|s| self.container(s)).collect()
    }

    fn container(&self, service: &str) -> Result<String, Stop> {
        let settings = &self.config.services[service];
        let number = |path: &str| settings.pointer(path).and_then(serde_json::Value::as_u64);
        let copies = number("/scale").or_else(|| number("/deploy/replicas"));
        let present: Vec<&str> = self.state.of(service).map(|m| m.name.as_str()).collect();
        if copies.is_some_and(|n| n != 1) || present.len() > 1 {
            return Err(Stop::refuse(format!(
                "service {service} of project {} has several containers, which this module does not keep up",
                self.call.project
            )));
        }
        let given = settings.get("container_name").and_then(|n| n.as_str());
        let divider = if self.state.is_old() { '_' } else { '-' };
        let made = match given {
            Some(name) => name.to_owned(),
            None => [self.call.project.as_str(), service, "1"].join(&divider.to_string()),
        };
        match present.first() {
            Some(name) if *name != made => Err(Stop::refuse(format!(
                "the container of service {service} is called {name}, and this compose ({}) would make one called {made}: \
                 give the service `container_name: {name}`, or bring it there by hand once",
                self.state.version
            ))),
            _ => Ok(made),
        }
    }

    pub(super) fn image(&self, service: &str) -> Result<ImageKey, Stop> {
        let image = self.config.services[service].get("image");
        match image.and_then(|i| i.as_str()) {
            Some(reference) => Ok(ImageKey {
                reference: reference.to_owned(),
            }),
            None => Err(Stop::refuse(format!(
                "service {service} of project {} has no `image`: runbook builds none",
                self.call.project
            ))),
        }
    }

    pub(super) fn want(
        &self,
        service: &str,
        key: &ContainerKey,
        now: &ContainerState,
        reference: &ImageKey,
        image: ImageState,
    ) -> Result<ContainerWant, Stop> {
        let Some(id) = image.id else {
            return Err(Stop::refuse(format!(
                "image {reference} of service {service} is not on the host; bring it with `docker_image` (in the upgrade: tag \
                 `stage`)"
            )));
        };
        if id.is_empty() {
            return Err(Stop::Unknown(format!(
                "until image {reference} is on the host"
            )));
        }
        let healthy = self.args.healthy.get(service).cloned();
        let within = healthy.as_ref().and_then(|h| h.within.as_deref());
        let own_name = (!self.state.is_old()).then_some(key.name.as_str());
        let image = WantedImage {
            reference: reference.reference.clone(),
            id,
            config: image.config,
        };
        let left = ContainerWant {
            state: Doing::Started,
            within: within.and_then(seconds).unwrap_or(60),
            healthy,
            stop_timeout: self.args.timeout,
            save: self.args.save.get(service).cloned().unwrap_or_default(),
            ..ContainerWant::default()
        };
        let anew = ContainerWant {
            state: left.state,
            image: Some(image.clone()),
            recreate: now.exists.then(|| now.id.clone()),
            within: left.within,
            healthy: left.healthy.clone(),
            stop_timeout: left.stop_timeout,
            save: left.save.clone(),
            compose: Some(Composed {
                call: self.call.clone(),
                service: service.to_owned(),
            }),
            ..self.config.wanted(&self.call.project, service, own_name)
        };
        let other = now.image_id != image.id || now.image != image.reference;
        if !now.exists || other {
            return Ok(anew);
        }
        // What an earlier task has made (as predicted) no compose can be asked about: it is compared as far as it is told.
        if now.id.is_empty() {
            let same = spec::alike(&desired(&anew, now), now);
            return Ok(if same { left } else { anew });
        }
        match self.state.stale.get(service) {
            Some(true) => Ok(anew),
            Some(false) => Ok(left),
            None => Err(Stop::refuse(format!(
                "compose {} does not tell whether it would make the container of service {service} anew; version 1, or 2.15 \
                 and later do",
                self.state.version
            ))),
        }
    }
}
