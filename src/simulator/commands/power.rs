//! Power state and boot medium.

use super::super::settings::ISOS;
use super::super::vps::SimulatedVps;
use super::{CommandResult, Order, Refused, done, not_suspended, running, stopped};

impl Order<'_> {
    pub(super) fn start(&self, vps: &mut SimulatedVps) -> CommandResult {
        not_suspended(vps)?;
        if vps.running {
            return Err(Refused::AlreadyRunning);
        }
        vps.start(self.at);
        Ok(done())
    }

    pub(super) fn stop(&self, vps: &mut SimulatedVps) -> CommandResult {
        running(vps)?;
        vps.stop(self.story, self.at);
        Ok(done())
    }

    pub(super) fn restart(&self, vps: &mut SimulatedVps) -> CommandResult {
        not_suspended(vps)?;
        running(vps)?;
        vps.stop(self.story, self.at);
        vps.start(self.at);
        Ok(done())
    }

    pub(super) fn mount(&self, vps: &mut SimulatedVps) -> CommandResult {
        let name = self.required("iso")?;
        can_mount(vps)?;
        let iso = ISOS.into_iter().find(|iso| *iso == name);
        vps.settings.iso = Some(iso.ok_or(Refused::Failed("ISO not found"))?);
        Ok(done())
    }

    pub(super) fn unmount(_: &Self, vps: &mut SimulatedVps) -> CommandResult {
        can_mount(vps)?;
        vps.settings.iso = None;
        Ok(done())
    }
}

fn can_mount(vps: &SimulatedVps) -> Result<(), Refused> {
    if vps.openvz() {
        return Err(Refused::Failed("Not available for this type of VPS"));
    }
    stopped(vps)
}
