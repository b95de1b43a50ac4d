//! Routes below `/_simulator/` for tests. They return the true state of the account and change it.

use std::collections::HashMap;

use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use thiserror::Error;

use super::fault::{Faults, FaultsError, parse_faults};
use super::http::{SimulatedBody, page, unix_now};
use super::reads::ReadContext;
use super::vps::SimulatedVps;
use super::{Simulator, SimulatorState};

/// The reason why a test route cannot do what the request says.
#[derive(Debug, Error)]
enum ControlError {
    #[error("no such route")]
    NoRoute,
    #[error(transparent)]
    Faults(#[from] FaultsError),
    #[error(transparent)]
    NotJson(#[from] serde_json::Error),
    #[error("{0}")]
    Request(&'static str),
    #[error("{0} is unknown or has an invalid value")]
    Value(String),
}

impl ControlError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl Simulator {
    pub(super) fn test_route(
        &self,
        route: &str,
        query: &HashMap<String, String>,
        body: &[u8],
    ) -> Response<SimulatedBody> {
        let only = query.get("veid").map(String::as_str);
        let mut guard = self.state();
        match control(&mut guard, route, only, body, unix_now()) {
            Ok(state) => page(StatusCode::OK, state.to_string()),
            Err(error) => page(error.status(), error.to_string()),
        }
    }
}

fn control(
    state: &mut SimulatorState,
    route: &str,
    only: Option<&str>,
    body: &[u8],
    now: f64,
) -> Result<Value, ControlError> {
    // Changes must apply after all events that are due by now.
    for vps in &mut state.vps {
        vps.advance(&state.story, now);
    }
    match route {
        "account" => {
            let age = state.story.age(now);
            let truth = |vps: &SimulatedVps| {
                ReadContext {
                    vps,
                    story: &state.story,
                    now,
                    points: state.points.remaining(vps.veid, age),
                    sizes: state.points.sizes(),
                    occurrence: None,
                }
                .truth()
            };
            // The state of a large fleet is tens of megabytes.
            let wanted = |vps: &&SimulatedVps| only.is_none_or(|veid| veid == vps.veid.to_string());
            let vps = state.vps.iter().filter(wanted).map(truth);
            Ok(json!({ "vps": vps.collect::<Vec<_>>() }))
        }
        "calls" => Ok(state
            .calls
            .iter()
            .map(|call| {
                json!({"veid": call.veid, "call": call.call, "method": call.method, "key_in_url": call.key_in_url})
            })
            .collect()),
        "halt" => {
            state.story.halt(body == b"true", now);
            Ok(json!({}))
        }
        "faults" => {
            state.faults = Faults::new(parse_faults(&String::from_utf8_lossy(body))?);
            Ok(json!({}))
        }
        "vps" => {
            change(state, now, body)?;
            Ok(json!({}))
        }
        _ => Err(ControlError::NoRoute),
    }
}

/// Changes the state of a VPS for a test, for example `{"veid": 1, "throttled": true}`.
fn change(state: &mut SimulatorState, now: f64, body: &[u8]) -> Result<(), ControlError> {
    let change: Value = serde_json::from_slice(body)?;
    let request = ControlError::Request;
    let members = change.as_object().ok_or(request("not an object"))?;
    let veid = members
        .get("veid")
        .and_then(Value::as_u64)
        .ok_or(request("no veid"))?;
    let story = &state.story;
    let vps = state
        .vps
        .iter_mut()
        .find(|vps| vps.veid == veid)
        .ok_or(request("no such VPS"))?;
    let elapsed = story.elapsed(now);
    for (name, value) in members {
        match (
            name.as_str(),
            value.as_bool(),
            value.as_f64(),
            value.as_str(),
        ) {
            ("running", Some(running), ..) => {
                vps.running = running;
                vps.starting_until = None;
            }
            ("suspended", Some(suspended), ..) => {
                vps.used_up = suspended;
                if !suspended {
                    vps.cases.suspensions.clear();
                }
            }
            ("throttled", Some(throttled), ..) => {
                vps.throttled_until = if throttled { f64::MAX } else { f64::MIN };
            }
            ("nullrouted", Some(true), ..) => {
                let address = vps.network.primary().to_owned();
                vps.network.nullroutes.insert(address, story.wall(elapsed));
            }
            ("nullrouted", Some(false), ..) => vps.network.nullroutes.clear(),
            ("suspension", Some(true), ..) | ("suspension", .., Some("hard")) => {
                vps.cases.suspend(value.is_boolean());
                vps.suspend(story, elapsed);
            }
            ("policy_violation", _, Some(seconds), _) if seconds > 0.0 => {
                let suspend_at = elapsed + story.story_seconds(seconds);
                vps.cases.warn(story.wall(elapsed), suspend_at);
            }
            ("data_counter", ..) if value.is_u64() => {
                vps.data_counter = value.as_u64().unwrap_or_default();
            }
            ("spent_points", _, Some(points), _) if points >= 0.0 => {
                let spent = state.points.spend_points(veid, points, story.age(now));
                spent.map_err(|_| request("fewer points are left"))?;
            }
            ("api_key", .., Some(key)) => key.clone_into(&mut vps.key),
            ("veid", ..) => {}
            _ => return Err(ControlError::Value(name.clone())),
        }
    }
    Ok(())
}
