//! A project of which there shall be less: `stopped` and `absent`. It is about what there is, whatever the files say.

use runbook_engine::module::{Stop, Wanted, reference};
use runbook_engine::world::View;

use super::super::kind::Container;
use super::super::network::{Network, NetworkKey, NetworkWant};
use super::super::state::{ContainerKey, ContainerWant, Wanted as Doing};
use super::Call;
use super::module::{Args, State, key_of, told};
use super::order::{Needs, in_order};
use super::project::{Member, Project, ProjectKey};

/// Wants it; those that need others stop or go before these.
pub(super) fn less(
    args: &Args,
    world: &View<'_>,
    call: Call,
    needs: &Needs,
) -> Result<Wanted, Stop> {
    let key = ProjectKey {
        call: call.clone(),
        contents: Vec::new(),
        services: Vec::new(),
    };
    let state = world.get::<Project>(&key)?;
    let absent = args.state == State::Absent;
    // Other files may belong to the project, too.
    let of_files: Option<Vec<String>> =
        args.files.as_ref().map(|_| needs.keys().cloned().collect());
    let named = args.services.as_ref().or(of_files.as_ref());
    let meant = |member: &&Member| {
        // What runs a command once is somebody's at this moment, or has ended by itself.
        named.is_none_or(|s| s.contains(&member.service)) && (absent || !member.once)
    };
    let mut members: Vec<&Member> = state.containers.iter().filter(meant).collect();
    let services: Vec<String> = members.iter().map(|m| m.service.clone()).collect();
    let order = in_order(&services, needs);
    members.sort_by_key(|m| std::cmp::Reverse(order.iter().position(|s| *s == m.service)));

    let keys: Vec<ContainerKey> = members.iter().map(|m| key_of(&m.name)).collect();
    let refs: Vec<_> = keys.iter().map(reference::<Container>).collect();
    world.need(&refs)?;
    let mut wanted = Wanted::nothing();
    for key in &keys {
        let want = ContainerWant {
            state: if absent {
                Doing::Absent
            } else {
                Doing::Stopped
            },
            stop_timeout: args.timeout,
            within: 60,
            ..ContainerWant::default()
        };
        wanted.set::<Container>(key, &want);
    }
    if absent && args.services.is_none() && members.len() == state.containers.len() {
        for name in state.networks {
            let key = NetworkKey { name };
            wanted.set::<Network>(&key, &NetworkWant::default());
        }
    }
    wanted.facts = told(&call, members.iter().map(|m| (&m.service, &m.name)));
    Ok(wanted)
}
