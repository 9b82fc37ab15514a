//! Times. Nothing here looks at a clock: `now()` is the time at which the run was started.

use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};
use minijinja::value::Kwargs;
use minijinja::value::{Object, ObjectRepr};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::{bad, filter, text};
use crate::template::views::{CONTEXT, Context};

/// The variable that holds the time at which the run was started, in RFC 3339.
const STARTED: &str = "runbook_run_time";

/// A time as Python's `datetime`.
#[derive(Debug)]
struct Moment(DateTime);

impl Moment {
    fn format(&self, format: &str) -> Result<Value, Error> {
        let zoned = self
            .0
            .to_zoned(TimeZone::UTC)
            .map_err(|e| bad(e.to_string()))?;
        strtime::format(format, &zoned)
            .map(Value::from)
            .map_err(|e| bad(format!("`{format}` is no format of a time: {e}")))
    }

    fn seconds(&self) -> f64 {
        self.0
            .to_zoned(TimeZone::UTC)
            .map_or(0.0, |z| z.timestamp().as_nanosecond() as f64 / 1e9)
    }
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(match key.as_str()? {
            "year" => Value::from(self.0.year()),
            "month" => Value::from(self.0.month()),
            "day" => Value::from(self.0.day()),
            "hour" => Value::from(self.0.hour()),
            "minute" => Value::from(self.0.minute()),
            "second" => Value::from(self.0.second()),
            _ => return None,
        })
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match (method, args) {
            ("strftime", [format]) => self.format(&text(format)?),
            ("isoformat", []) => self.format("%Y-%m-%dT%H:%M:%S"),
            ("timestamp", []) => Ok(Value::from(self.seconds())),
            ("weekday", []) => Ok(Value::from(self.0.weekday().to_monday_zero_offset())),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }

    fn custom_cmp(
        self: &Arc<Self>,
        other: &minijinja::value::DynObject,
    ) -> Option<std::cmp::Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let date = self.0.round(Unit::Second).unwrap_or(self.0);
        f.write_str(&date.to_string().replace('T', " "))
    }
}

/// A time, which as a result is the text that it prints.
pub(in crate::template) fn is_moment(value: &Value) -> bool {
    value.downcast_object_ref::<Moment>().is_some()
}

/// The context of the rendering that a function is called from.
pub(super) fn context(state: &State<'_, '_>) -> Result<Arc<Context>, Error> {
    state
        .lookup(CONTEXT)
        .and_then(|v| v.downcast_object::<Context>())
        .ok_or_else(|| bad("this cannot be called here"))
}

fn now(state: &mut State<'_, '_>, options: Kwargs) -> Result<Value, Error> {
    let _ = options.get::<Option<bool>>("utc")?;
    let format = options.get::<Option<String>>("fmt")?;
    options.assert_all_used()?;
    let started = context(state)?
        .variable(STARTED)
        .and_then(|v| v.as_str().map(str::to_owned))
        .and_then(|s| s.parse::<Timestamp>().ok())
        .ok_or_else(|| {
            bad("`now` is the time at which the run was started, and there is no run here")
        })?;
    let moment = Moment(started.to_zoned(TimeZone::UTC).datetime());
    match format {
        Some(format) => moment.format(&format),
        None => Ok(Value::from_object(moment)),
    }
}

pub(super) fn add(env: &mut Environment<'static>) {
    env.add_function("now", now);
    filter(env, "to_datetime", |value, given| {
        let format = given
            .text(0, "format")?
            .unwrap_or_else(|| "%Y-%m-%d %H:%M:%S".to_owned());
        given.only(1)?;
        let written = text(&value)?;
        let parsed = strtime::parse(&format, &written)
            .map_err(|e| bad(format!("`{written}` is no time written as `{format}`: {e}")))?;
        let moment = parsed
            .to_datetime()
            .or_else(|_| {
                parsed
                    .to_date()
                    .map(|d| d.to_datetime(jiff::civil::Time::midnight()))
            })
            .map_err(|e| bad(format!("`{written}` is no time: {e}")))?;
        Ok(Value::from_object(Moment(moment)))
    });
    // The format is filtered, the seconds since 1970 are its argument, as in Ansible.
    filter(env, "strftime", |value, given| {
        let seconds = given.value(0, "second")?;
        let _ = given.truth(1, "utc")?;
        given.only(2)?;
        let seconds = seconds
            .map(|v| match v.as_str() {
                Some(text) => text.parse::<f64>().ok(),
                None => f64::try_from(v).ok(),
            })
            .ok_or_else(|| {
                bad("`strftime` without seconds would look at the clock; use `now(fmt=…)`")
            })?
            .ok_or_else(|| bad("`strftime` takes seconds since 1970"))?;
        let at = Timestamp::from_second(seconds as i64).map_err(|e| bad(e.to_string()))?;
        Moment(at.to_zoned(TimeZone::UTC).datetime()).format(&text(&value)?)
    });
}
