//! Host names, SSH keys, passwords and mail preferences.

use serde_json::{Map, Value};

use super::super::json::Object;
use super::super::noise::hex;
use super::super::settings::preference;
use super::super::vps::SimulatedVps;
use super::{CommandResult, Order, Refused, done, running};

impl Order<'_> {
    pub(super) fn reset_root_password(_: &Self, vps: &mut SimulatedVps) -> CommandResult {
        running(vps)?;
        Ok(done().text("password", &secret(vps)))
    }

    pub(super) fn update_ssh_keys(&self, vps: &mut SimulatedVps) -> CommandResult {
        self.given("ssh_keys")?
            .clone_into(&mut vps.settings.ssh_keys);
        Ok(done())
    }

    pub(super) fn set_hostname(&self, vps: &mut SimulatedVps) -> CommandResult {
        self.required("newHostname")?
            .clone_into(&mut vps.settings.hostname);
        Ok(done())
    }

    pub(super) fn set_preferences(&self, vps: &mut SimulatedVps) -> CommandResult {
        const NO_PREFERENCES: Refused = Refused::Failed("Preferences are not valid");
        let submitted = self.required("json_notification_preferences")?;
        let submitted: Map<String, Value> =
            serde_json::from_str(submitted).map_err(|_| NO_PREFERENCES)?;
        let mut wanted = Vec::new();
        for (id, value) in &submitted {
            let enabled = match value {
                Value::Bool(flag) => Some(*flag),
                Value::String(text) => Some(text == "1"),
                number => number.as_u64().map(|number| number != 0),
            };
            wanted.push((
                preference(id).ok_or(NO_PREFERENCES)?,
                enabled.ok_or(NO_PREFERENCES)?,
            ));
        }
        let map = Object::new;
        let (mut all, mut updated, mut descriptions) = (map(), map(), map());
        for (preference, enabled) in wanted {
            let flag = u8::from(enabled);
            all = all.raw(preference.id, flag);
            if vps.settings.enable(preference, enabled, self.now()) {
                updated = updated.raw(preference.id, flag);
                descriptions = descriptions.text(preference.id, preference.description);
            }
        }
        Ok(done()
            .raw("submitted_email_preferences", all.end())
            .raw("updated_email_preferences", updated.end())
            .raw("friendly_descriptions", descriptions.end()))
    }
}

/// Generates a secret that differs from the earlier ones.
pub(super) fn secret(vps: &mut SimulatedVps) -> String {
    vps.settings.secrets += 1;
    hex(vps.seed, vps.veid, vps.settings.secrets, 28, 12)
}
