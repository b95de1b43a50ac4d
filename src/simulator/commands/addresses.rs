//! IP addresses and their PTR records.

use super::super::json::{list, text};
use super::super::network::MOST_SUBNETS;
use super::super::vps::SimulatedVps;
use super::{CommandResult, Order, Refused, done};

const NO_SUCH_ADDRESS: Refused = Refused::Failed("IP address not found");

impl Order<'_> {
    pub(super) fn set_ptr(&self, vps: &mut SimulatedVps) -> CommandResult {
        let address = self.required("ip")?;
        let name = self.given("ptr")?;
        if !vps.network.has_public(address) {
            return Err(NO_SUCH_ADDRESS);
        }
        if name.is_empty() {
            vps.network.ptr.remove(address);
        } else {
            vps.network.ptr.insert(address.to_owned(), name.to_owned());
        }
        Ok(done())
    }

    pub(super) fn add_subnet(_: &Self, vps: &mut SimulatedVps) -> CommandResult {
        if vps.network.ipv6.len() >= MOST_SUBNETS {
            return Err(Refused::Failed("No more IPv6 subnets in this plan"));
        }
        let subnet = vps.network.add_subnet();
        Ok(done().text("assigned_subnet", &format!("{subnet}/64")))
    }

    pub(super) fn delete_subnet(&self, vps: &mut SimulatedVps) -> CommandResult {
        if vps.network.remove_subnet(self.required("ip")?) {
            Ok(done())
        } else {
            Err(NO_SUCH_ADDRESS)
        }
    }

    pub(super) fn assign_private(&self, vps: &mut SimulatedVps) -> CommandResult {
        if !vps.location.private_network {
            return Err(Refused::Failed("No private network at this location"));
        }
        let wanted = self.optional("ip");
        let mut available = vps.network.private_available().into_iter();
        let address = available.find(|ip| wanted.is_empty() || ip == wanted);
        let address = address.ok_or(Refused::Failed("IP address is not available"))?;
        let assigned = list([text(&address)]);
        vps.network.private.push(address);
        Ok(done().raw("assigned_ips", assigned))
    }

    pub(super) fn delete_private(&self, vps: &mut SimulatedVps) -> CommandResult {
        let address = self.required("ip")?;
        let own = vps.network.private.iter().position(|own| own == address);
        vps.network.private.remove(own.ok_or(NO_SUCH_ADDRESS)?);
        Ok(done())
    }
}
