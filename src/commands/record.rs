//! `record`: writes one sanitised response of each call and VPS, for bug reports.

mod fields;
mod folder;
mod replacements;
mod sanitise;
mod shapes;
mod text;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use sanitise::{Sanitised, Sanitiser};

use std::io;

use serde_json::{Map, Value, json};

use super::{Failure, block_on, chosen, client_options, load_or_demo};
use crate::budget::Round;
use crate::cli::{Cli, Record};
use crate::clock::Clock;
use crate::config::{Config, Vps};
use crate::kiwivm::model::Payload;
use crate::kiwivm::{ApiKey, Call, CallError, Decoded, RawClient, RawResponse, Reason, Veid};
use folder::Folder;

/// Consecutive calls without a response of the API after which the rest of a VPS is skipped, and consecutive VPSes of
/// this kind after which the rest of the fleet is: the API may drop requests because there were too many.
const MAX_SILENT: u32 = 3;

/// Makes each call once for each VPS and writes the responses without secrets and private data.
///
/// # Errors
///
/// An invalid configuration, an unknown VPS, a folder that is not empty or cannot be written, or no response to any
/// call.
pub fn run(cli: &Cli, options: &Record) -> Result<(), Failure> {
    block_on(async {
        let config = load_or_demo(cli).await?;
        let chosen = chosen(&config, &options.vps)?;
        let folder_failure = |error: io::Error| {
            Failure(format!(
                "{} could not be written: {error}",
                options.output.display()
            ))
        };
        let folder = Folder::open(&options.output).map_err(folder_failure)?;
        let mut recorder = Recorder::new(&config, folder)?;
        let responses = recorder.fleet(&chosen).await.map_err(folder_failure)?;
        if responses == 0 {
            return Err(Failure(
                "no call got a response; see the lines above".to_owned(),
            ));
        }
        let folder = options.output.display();
        eprintln!(
            "Recorded {responses} responses in {folder}. Keys, addresses, names and unknown text are replaced, but look through the files before you share them."
        );
        Ok(())
    })
}

/// The consequence of a call for the calls after it.
enum RecordOutcome {
    /// The API responded.
    Responded,
    /// There was no response, or not one of the API.
    Silent,
    /// The other calls of this VPS would be refused too.
    Refused(Reason),
}

struct Recorder {
    client: RawClient,
    folder: Folder,
    sanitiser: Sanitiser,
    /// Decides which calls the points allow.
    round: Round,
    clock: Clock,
    recorded: u32,
}

impl Recorder {
    fn new(config: &Config, folder: Folder) -> Result<Self, Failure> {
        let keys = config
            .vps
            .iter()
            .filter_map(|vps| vps.key.as_ref().ok().cloned());
        Ok(Self {
            client: RawClient::new(client_options(config))?,
            folder,
            sanitiser: Sanitiser::new(config.vps.iter().map(|vps| vps.veid), keys.collect()),
            round: Round::new(config.budget.share),
            clock: Clock::start(),
            recorded: 0,
        })
    }

    /// Records one VPS after the other and returns the number of responses.
    async fn fleet(&mut self, chosen: &[&Vps]) -> io::Result<u32> {
        let mut silent = 0;
        for (number, vps) in (1..).zip(chosen) {
            if silent == MAX_SILENT {
                eprintln!(
                    "{MAX_SILENT} VPSes in a row gave no response or refused the calls, skipping the others"
                );
                break;
            }
            let key = match &vps.key {
                Ok(key) => key,
                Err(problem) => {
                    eprintln!("{}: no usable key: {problem}", vps.name);
                    continue;
                }
            };
            let responded = self.vps(number, vps, key).await?;
            silent = if responded { 0 } else { silent + 1 };
        }
        Ok(self.recorded)
    }

    /// Records one VPS. False if the API did not respond to its calls or limited their rate.
    async fn vps(&mut self, number: usize, vps: &Vps, key: &ApiKey) -> io::Result<bool> {
        // Reads the points first, because they limit the other calls.
        let others = Call::ALL
            .into_iter()
            .filter(|call| *call != Call::RateLimitStatus);
        let mut silent = 0;
        for call in std::iter::once(Call::RateLimitStatus).chain(others) {
            if call != Call::RateLimitStatus
                && let Err(why) = self.round.take(vps.veid, call)
            {
                eprintln!("{}: {} skipped: {why}", vps.name, call.name());
                continue;
            }
            match self.call(number, vps, key, call).await? {
                RecordOutcome::Responded => silent = 0,
                RecordOutcome::Silent => silent += 1,
                RecordOutcome::Refused(reason) => {
                    eprintln!("{}: skipping the other calls", vps.name);
                    return Ok(reason == Reason::Auth);
                }
            }
            if silent == MAX_SILENT {
                eprintln!(
                    "{}: {MAX_SILENT} calls in a row failed, skipping the other calls",
                    vps.name
                );
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn call(
        &mut self,
        number: usize,
        vps: &Vps,
        key: &ApiKey,
        call: Call,
    ) -> io::Result<RecordOutcome> {
        let begin = self.clock.now();
        let (response, result) = self.client.call(vps.veid, key, call).await;
        let seconds = self
            .clock
            .now()
            .elapsed
            .saturating_sub(begin.elapsed)
            .as_secs_f64();
        let mut line = Map::new();
        line.insert("vps".to_owned(), number.into());
        line.insert("call".to_owned(), call.name().into());
        line.insert("time".to_owned(), json!(begin.unix.0.round()));
        line.insert(
            "seconds".to_owned(),
            json!((seconds * 1000.0).round() / 1000.0),
        );
        line.insert("outcome".to_owned(), outcome(&result));
        if let Some(response) = &response {
            self.recorded += 1;
            let file = self.write(number, call, response, &mut line)?;
            let file = file.unwrap_or_else(|| "an empty response".to_owned());
            eprintln!("{}: {} recorded: {file}", vps.name, call.name());
        }
        self.folder.add_line(&Value::Object(line))?;
        if let Err(error) = &result {
            eprintln!("{}: {error}", vps.name);
        }
        Ok(self.consequence(vps.veid, &result))
    }

    /// Writes the body, if there is one, and adds the head to the line.
    fn write(
        &mut self,
        number: usize,
        call: Call,
        response: &RawResponse,
        line: &mut Map<String, Value>,
    ) -> io::Result<Option<String>> {
        let headers = response.headers.iter().map(|(name, value)| {
            let value = self.sanitiser.header(value);
            ((*name).to_owned(), Value::from(value))
        });
        line.insert("headers".to_owned(), Value::Object(headers.collect()));
        line.insert("status".to_owned(), response.status.into());
        line.insert("bytes".to_owned(), response.body.len().into());
        line.insert("bytes_received".to_owned(), response.received.into());
        if response.body.is_empty() {
            return Ok(None);
        }
        let sanitised = self.sanitiser.body(&response.body);
        let extension = match &sanitised {
            Sanitised::Json(_) => "json",
            Sanitised::Broken(_, at) => {
                line.insert("not_json_at_byte".to_owned(), (*at).into());
                "txt"
            }
            Sanitised::Text(_) => "txt",
        };
        let file = format!("{number}-{}.{extension}", call.name().replace('/', "-"));
        self.folder.write(&file, sanitised.content())?;
        line.insert("file".to_owned(), file.as_str().into());
        Ok(Some(file))
    }

    fn consequence(&mut self, veid: Veid, result: &Result<Decoded, CallError>) -> RecordOutcome {
        match result {
            Ok(Decoded {
                payload: Payload::RateLimit(status),
                ..
            }) => {
                if let Some(left) = status.points_left() {
                    self.round.read(veid, left);
                }
                RecordOutcome::Responded
            }
            Err(error) if matches!(error.reason, Reason::Auth | Reason::RateLimited) => {
                RecordOutcome::Refused(error.reason)
            }
            Ok(_) => RecordOutcome::Responded,
            Err(error)
                if matches!(
                    error.reason,
                    Reason::Locked | Reason::MissingParam | Reason::ApiOther
                ) =>
            {
                RecordOutcome::Responded
            }
            Err(_) => RecordOutcome::Silent,
        }
    }
}

/// `ok`, the fields that could not be read, or the reason of the failure as in the label of the metrics.
fn outcome(result: &Result<Decoded, CallError>) -> Value {
    match result {
        Ok(decoded) if decoded.problems.is_empty() => json!("ok"),
        Ok(decoded) => json!({ "unreadable_fields": decoded.problems }),
        Err(error) => json!({ "error": error.reason.name() }),
    }
}
