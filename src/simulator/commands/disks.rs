//! Snapshots, backups, reinstallation, migration and cloning. Long operations are tasks that lock the VPS.

use super::super::json::{list, text};
use super::super::locations::location;
use super::super::settings::{OWNER, shortened, templates};
use super::super::task::Work;
use super::super::vps::SimulatedVps;
use super::settings::secret;
use super::{CommandResult, Order, Refused, begun, done, not_suspended};

const NO_SUCH_SNAPSHOT: Refused = Refused::Failed("Snapshot not found");

impl Order<'_> {
    #[expect(clippy::unnecessary_wraps, reason = "a handler like the others")]
    pub(super) fn create_snapshot(&self, vps: &mut SimulatedVps) -> CommandResult {
        let description = self.optional("description").to_owned();
        vps.begin(self.story, self.at, Work::Snapshot(description));
        Ok(begun())
    }

    pub(super) fn delete_snapshot(&self, vps: &mut SimulatedVps) -> CommandResult {
        if vps.disk_copies.delete(self.required("snapshot")?) {
            Ok(begun())
        } else {
            Err(NO_SUCH_SNAPSHOT)
        }
    }

    pub(super) fn restore_snapshot(&self, vps: &mut SimulatedVps) -> CommandResult {
        let name = self.required("snapshot")?;
        not_suspended(vps)?;
        let snapshot = vps
            .disk_copies
            .snapshot(name)
            .ok_or(NO_SUCH_SNAPSHOT)?
            .clone();
        vps.begin(self.story, self.at, Work::Restore(snapshot));
        Ok(begun())
    }

    pub(super) fn toggle_sticky(&self, vps: &mut SimulatedVps) -> CommandResult {
        let name = self.required("snapshot")?;
        let sticky = match self.required("sticky")? {
            "1" => true,
            "0" => false,
            _ => return Err(Refused::Failed("sticky must be 0 or 1")),
        };
        if vps.disk_copies.set_sticky(name, sticky, self.at) {
            Ok(done())
        } else {
            Err(NO_SUCH_SNAPSHOT)
        }
    }

    pub(super) fn export_snapshot(&self, vps: &mut SimulatedVps) -> CommandResult {
        let token = vps.disk_copies.export(self.required("snapshot")?);
        Ok(done().text("token", &token.ok_or(NO_SUCH_SNAPSHOT)?))
    }

    pub(super) fn import_snapshot(&self, vps: &mut SimulatedVps) -> CommandResult {
        self.required("sourceVeid")?;
        self.required("sourceToken")?;
        let snapshot = self.exported.clone();
        let snapshot = snapshot.ok_or(Refused::Failed("Source VEID or token is not valid"))?;
        vps.begin(self.story, self.at, Work::Import(snapshot));
        Ok(begun())
    }

    pub(super) fn copy_backup(&self, vps: &mut SimulatedVps) -> CommandResult {
        let token = self.required("backupToken")?;
        let mut backups = vps.disk_copies.backups.iter();
        let backup = backups.find(|backup| backup.token == token).cloned();
        let backup = backup.ok_or(Refused::Failed("Backup not found"))?;
        vps.begin(self.story, self.at, Work::CopyBackup(backup));
        Ok(begun())
    }

    pub(super) fn reinstall(&self, vps: &mut SimulatedVps) -> CommandResult {
        let name = self.required("os")?;
        not_suspended(vps)?;
        let os = templates(vps.openvz()).iter().find(|os| **os == name);
        let os = os.ok_or(Refused::Failed("Operating system not found"))?;
        vps.begin(self.story, self.at, Work::Reinstall(os));
        let password = secret(vps);
        let keys = vps.settings.preferred_ssh_keys();
        Ok(done()
            .text("rootPassword", &password)
            .raw("sshPort", vps.ssh_port())
            .text("sshKeys", keys)
            .text("sshKeysBrief", &shortened(keys))
            .text("notificationEmail", OWNER))
    }

    pub(super) fn migrate(&self, vps: &mut SimulatedVps) -> CommandResult {
        let to = self.required("location")?;
        not_suspended(vps)?;
        let to = location(to).ok_or(Refused::Failed("Location not found"))?;
        if to == vps.location {
            return Err(Refused::Failed("The VPS is at this location already"));
        }
        let addresses = vps.network.next_addresses();
        let new = list(addresses.iter().map(|address| text(address)));
        vps.begin(self.story, self.at, Work::Migrate { to, addresses });
        Ok(begun().raw("newIps", new))
    }

    pub(super) fn clone_server(&self, vps: &mut SimulatedVps) -> CommandResult {
        let host = self.required("externalServerIP")?;
        self.required("externalServerSSHport")?;
        self.required("externalServerRootPassword")?;
        not_suspended(vps)?;
        if !vps.openvz() {
            return Err(Refused::Failed("Available for OpenVZ only"));
        }
        vps.begin(self.story, self.at, Work::Clone(host.to_owned()));
        Ok(begun())
    }
}
