//! The calls that change a VPS.

mod addresses;
mod disks;
mod power;
mod settings;
mod shell;

use std::borrow::Cow;
use std::collections::HashMap;

use super::audit::AuditKind;
use super::cases::NotClosed;
use super::disk_copies::DiskSnapshot;
use super::json::Object;
use super::settings::OWNER;
use super::story::Story;
use super::vps::SimulatedVps;

/// A call that changes a VPS, and its time.
pub struct Order<'a> {
    pub parameters: &'a HashMap<String, String>,
    pub story: &'a Story,
    /// Story seconds.
    pub at: f64,
    /// The snapshot of another VPS that an import names.
    pub exported: Option<DiskSnapshot>,
}

/// Reasons for which a call changes nothing.
enum Refused {
    MissingParameter,
    NotRunning,
    AlreadyRunning,
    Failed(&'static str),
}

const SUSPENDED: Refused = Refused::Failed("This VPS is suspended");
const NO_SUCH_RECORD: Refused = Refused::Failed("Record not found");

type CommandResult = Result<Object, Refused>;

/// Carries out a call; `None` if it is not one of those that change a VPS.
pub fn carry_out(call: &str, vps: &mut SimulatedVps, order: &Order) -> Option<String> {
    let handler = handler(call)?;
    let summary: Cow<'static, str> = match call {
        "start" | "stop" | "restart" | "kill" => format!("Command received: {call}").into(),
        _ => format!("API call: {call}").into(),
    };
    let kind = if summary.starts_with("API") {
        AuditKind::Api
    } else {
        AuditKind::Command
    };
    vps.audit.push(order.story.wall(order.at), kind, summary);
    Some(
        handler(order, vps)
            .unwrap_or_else(|refused| refused.response())
            .end(),
    )
}

type Handler<'a> = fn(&Order<'a>, &mut SimulatedVps) -> CommandResult;

fn handler<'a>(call: &str) -> Option<Handler<'a>> {
    Some(match call {
        "start" => Order::start,
        "stop" | "kill" => Order::stop,
        "restart" => Order::restart,
        "reinstallOS" => Order::reinstall,
        "resetRootPassword" => Order::reset_root_password,
        "updateSshKeys" => Order::update_ssh_keys,
        "setHostname" => Order::set_hostname,
        "setPTR" => Order::set_ptr,
        "iso/mount" => Order::mount,
        "iso/unmount" => Order::unmount,
        "basicShell/cd" => Order::change_directory,
        "basicShell/exec" => Order::execute,
        "shellScript/exec" => Order::execute_script,
        "snapshot/create" => Order::create_snapshot,
        "snapshot/delete" => Order::delete_snapshot,
        "snapshot/restore" => Order::restore_snapshot,
        "snapshot/toggleSticky" => Order::toggle_sticky,
        "snapshot/export" => Order::export_snapshot,
        "snapshot/import" => Order::import_snapshot,
        "backup/copyToSnapshot" => Order::copy_backup,
        "ipv6/add" => Order::add_subnet,
        "ipv6/delete" => Order::delete_subnet,
        "migrate/start" => Order::migrate,
        "cloneFromExternalServer" => Order::clone_server,
        "unsuspend" => Order::unsuspend,
        "resolvePolicyViolation" => Order::resolve_violation,
        "privateIp/assign" => Order::assign_private,
        "privateIp/delete" => Order::delete_private,
        "kiwivm/setNotificationPreferences" => Order::set_preferences,
        _ => return None,
    })
}

/// The snapshot of another VPS that the parameters of an import name.
pub fn exported(
    fleet: &[SimulatedVps],
    parameters: &HashMap<String, String>,
) -> Option<DiskSnapshot> {
    let veid: u64 = parameters.get("sourceVeid")?.parse().ok()?;
    let source = fleet.iter().find(|vps| vps.veid == veid)?;
    source
        .disk_copies
        .exported(parameters.get("sourceToken")?)
        .cloned()
}

fn done() -> Object {
    Object::new().raw("error", 0)
}

/// The response of a call that starts a task; the owner gets mail when it is done.
fn begun() -> Object {
    done().text("notificationEmail", OWNER)
}

impl Refused {
    fn response(&self) -> Object {
        let error = |code: u32, message| Object::new().raw("error", code).text("message", message);
        match self {
            Self::MissingParameter => error(700_001, "Missing required parameter"),
            Self::NotRunning => error(700_000, "VPS is not running"),
            Self::AlreadyRunning => error(700_003, "VPS is already running"),
            Self::Failed(why) => error(1, why)
                .raw("additionalErrorCode", "null")
                .text("additionalErrorInfo", why),
        }
    }
}

impl Order<'_> {
    /// A parameter that must be present and not empty.
    fn required(&self, name: &str) -> Result<&str, Refused> {
        let value = self.optional(name);
        if value.is_empty() {
            return Err(Refused::MissingParameter);
        }
        Ok(value)
    }

    /// A parameter that must be present and may be empty, to remove a value.
    fn given(&self, name: &str) -> Result<&str, Refused> {
        let value = self.parameters.get(name).map(String::as_str);
        value.ok_or(Refused::MissingParameter)
    }

    fn optional(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    fn now(&self) -> i64 {
        self.story.wall(self.at)
    }

    fn record_id(&self) -> Result<u64, Refused> {
        let id = self.required("record_id")?;
        id.parse().map_err(|_| NO_SUCH_RECORD)
    }

    fn unsuspend(&self, vps: &mut SimulatedVps) -> CommandResult {
        vps.cases.clear(self.record_id()?)?;
        if !vps.suspended() {
            vps.start(self.at);
        }
        Ok(done())
    }

    fn resolve_violation(&self, vps: &mut SimulatedVps) -> CommandResult {
        vps.cases.resolve(self.record_id()?)?;
        Ok(done())
    }
}

impl From<NotClosed> for Refused {
    fn from(why: NotClosed) -> Self {
        match why {
            NotClosed::Unknown => NO_SUCH_RECORD,
            NotClosed::Hard => Self::Failed("Contact support to resolve this case"),
        }
    }
}

fn not_suspended(vps: &SimulatedVps) -> Result<(), Refused> {
    if vps.suspended() {
        Err(SUSPENDED)
    } else {
        Ok(())
    }
}

fn running(vps: &SimulatedVps) -> Result<(), Refused> {
    if vps.running {
        Ok(())
    } else {
        Err(Refused::NotRunning)
    }
}

fn stopped(vps: &SimulatedVps) -> Result<(), Refused> {
    if vps.running {
        Err(Refused::Failed("The VPS must be stopped first"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
