//! The upgrade of an archive on real servers: one host, and directory, database and archive on three.

use anyhow::Result;
use runbook_e2e::archive::{Archive, Compose, POINTS};
use runbook_e2e::{program, realdata, skip, tell};
use runbook_lab::{Hosts, Lab};

/// A fresh site of the lab; none, said by name, where the lab is not up.
fn site(test: &str, name: &str, hosts: Hosts) -> Result<Option<Archive>> {
    let lab = match Lab::ready() {
        Ok(lab) => lab,
        Err(why) => {
            skip(test, &format!("{why:#}"));
            return Ok(None);
        }
    };
    Ok(Some(Archive::new(
        lab.new_site(name, hosts)?,
        program()?,
        tell,
    )?))
}

/// All that takes long is wanted.
fn long() -> bool {
    std::env::var("RUNBOOK_LONG").is_ok_and(|v| v == "1")
}

#[test]
fn one_host_is_upgraded_damaged_mended_and_finished() -> Result<()> {
    let Some(archive) = site("one_host_is_upgraded", "e2e-one", Hosts::One)? else {
        return Ok(());
    };
    let check = archive.check_changes_nothing()?;
    let (_, done) = archive.run_does_what_the_check_said(&check)?;
    archive.branches_overlap()?;
    archive.second_run_is_quiet(&done)?;
    archive.damages_are_mended(&done)?;
    archive.bad_image_goes_back()?;
    archive.mistakes_stop_at_once()?;
    archive.finishes()?;
    archive.site().destroy()
}

/// With `RUNBOOK_LONG=1` also an archive that runs and never answers, for which the upgrade waits five minutes.
#[test]
fn an_archive_that_does_not_start_leaves_the_old_one() -> Result<()> {
    let test = "an_archive_that_does_not_start";
    let Some(archive) = site(test, "e2e-bad", Hosts::One)? else {
        return Ok(());
    };
    archive.bad_image_leaves_the_old_archive(long())?;
    archive.site().destroy()
}

#[test]
fn three_hosts_are_upgraded_fall_back_and_finish() -> Result<()> {
    let Some(archive) = site("three_hosts_are_upgraded", "e2e-three", Hosts::Three)? else {
        return Ok(());
    };
    let check = archive.check_changes_nothing()?;
    let done = archive.plan_does_what_the_check_said(&check)?;
    archive.branches_overlap()?;
    archive.second_run_is_quiet(&done)?;
    archive.damages_are_mended(&done)?;
    archive.falls_back_and_forward(long())?;
    archive.finishes()?;
    archive.site().destroy()
}

#[test]
fn an_upgrade_is_taken_back_while_people_work_on() -> Result<()> {
    let Some(archive) = site("an_upgrade_is_taken_back", "e2e-back", Hosts::One)? else {
        return Ok(());
    };
    archive.mistakes_are_told_beforehand(long())?;
    let before = archive.as_it_is()?;
    let check = archive.check_changes_nothing()?;
    let (run, done) = archive.run_does_what_the_check_said(&check)?;
    archive.goes_back(&before, &run, &done.value)?;
    archive.refuses_drift_of_each_kind()?;
    archive.site().destroy()
}

/// One point by default; with `RUNBOOK_LONG=1` all of them (about a quarter of an hour).
#[test]
fn an_upgrade_is_taken_back_from_every_point() -> Result<()> {
    let Some(archive) = site(
        "an_upgrade_is_taken_back_from_every_point",
        "e2e-points",
        Hosts::One,
    )?
    else {
        return Ok(());
    };
    let points: Vec<&str> = if long() {
        POINTS.to_vec()
    } else {
        let sample = POINTS.iter().filter(|p| p.contains("Data,"));
        sample.copied().collect()
    };
    archive.goes_back_from(&points)?;
    archive.site().destroy()
}

/// From 5.29.0, and from an older version; with `RUNBOOK_LONG=1` from one more.
#[test]
fn a_real_archive_comes_from_5_29() -> Result<()> {
    let test = "a_real_archive_comes_from_5_29";
    let Some(data) = realdata(test, "") else {
        return Ok(());
    };
    let Some(archive) = site(test, "e2e-real", Hosts::One)? else {
        return Ok(());
    };
    archive.becomes_real(&data)?;
    archive.comes_from_5_29()?;
    archive.comes_from_older(long())?;
    archive.site().destroy()
}

/// On three hosts: what is stopped on one of them is waited for on the others.
#[test]
fn an_archive_comes_back_from_its_backups() -> Result<()> {
    let Some(archive) = site("an_archive_comes_back", "e2e-restore", Hosts::Three)? else {
        return Ok(());
    };
    archive.is_restored_behind_part_3()?;
    archive.gets_another_major_version()?;
    archive.site().destroy()
}

/// A site whose containers a later compose makes; with `RUNBOOK_LONG=1` one of version 1, too.
#[test]
fn a_project_of_compose_is_upgraded() -> Result<()> {
    for (compose, name) in [
        (Compose::Plugin, "e2e-composed"),
        (Compose::Program, "e2e-composed-1"),
    ] {
        if compose == Compose::Program && !long() {
            continue;
        }
        let Some(archive) = site("a_project_of_compose_is_upgraded", name, Hosts::One)? else {
            return Ok(());
        };
        archive.becomes_a_project(compose)?;
        archive.is_upgraded_as_a_project(compose)?;
        archive.site().destroy()?;
    }
    Ok(())
}

#[test]
fn an_archive_is_secured() -> Result<()> {
    let Some(archive) = site("an_archive_is_secured", "e2e-secured", Hosts::One)? else {
        return Ok(());
    };
    archive.is_adopted()?;
    archive.is_secured()?;
    archive.site().destroy()
}

/// With `RUNBOOK_LONG=1` also one that cannot be made anew, and the end of the old one.
#[test]
fn a_directory_of_images_2_4_44_is_made_anew() -> Result<()> {
    let test = "a_directory_of_images_2_4_44_is_made_anew";
    let Some(archive) = site(test, "e2e-rebuilt", Hosts::One)? else {
        return Ok(());
    };
    archive.has_an_old_directory_server()?;
    archive.gets_a_new_directory(long())?;
    archive.site().destroy()
}
