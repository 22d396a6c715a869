//! Proof of what the balancer does by its flow table: where other faults cut every node off from the clients no connection shows anything, and how many ports
//! came back while they were to be used up only the table knows.

use std::os::fd::AsFd;
use std::time::Instant;

use super::flows::Flows;
use super::{Balancer, BalancerProbe, BalancerReport, BalancerTrouble, N_PORTS};
use crate::effect::Bound;
use crate::{Result, netns};

impl Balancer {
    /// Looks whether this is what is wrong with the balancer: all ports are used up that are to be, or none is.
    ///
    /// # Errors
    /// If the flow table cannot be read.
    pub fn look_up(&self, now: BalancerTrouble) -> Result<BalancerReport> {
        let began = Instant::now();
        let fillers = self.fillers();
        let count = || -> Result<Bound> {
            let mut flows = Flows::open()?;
            Ok(if now.no_ports {
                let n_free = fillers.len() - flows.n_taken(&fillers)?;
                Bound::new("ports that are free, by the flow table", n_free as u64, (0, Some(0)))
            } else {
                let n_used = flows.n_standing(&fillers)?;
                Bound::new("ports that are used up, by the flow table", n_used as u64, (0, Some(0)))
            })
        };
        let seen = netns::in_namespace(self.setup.router.as_fd(), count)??;
        Ok(BalancerReport::of(vec![seen], began))
    }

    /// Proves that the ports that were used up are so still, for whoever calls [`Balancer::refill`] again and again: since its last call no more came back
    /// than standing connections can have given back, and no new connection is let through; without a probe the flow table shows that.
    ///
    /// # Errors
    /// If the flow table cannot be read or changed, and those of the probe.
    pub fn prove_still_exhausted(&self, probe: Option<&BalancerProbe>) -> Result<BalancerReport> {
        let began = Instant::now();
        let n_back = self.refill()? as u64;
        // Fewer clients than ports: a node whose ports are all free again, and its probe's, shows.
        let mut seen = vec![Bound::new("ports that came back of late", n_back, (0, Some(N_PORTS.into())))];
        seen.extend(match probe {
            Some(probe) => {
                let mut report = probe.prove_exhausted()?;
                if !report.ok {
                    // One may have come back in this very moment.
                    self.refill()?;
                    report = probe.prove_exhausted()?;
                }
                report.seen
            }
            None => {
                let exhausted = BalancerTrouble {
                    flushes: 0,
                    no_ports: true,
                };
                self.look_up(exhausted)?.seen
            }
        });
        let n_all = self.now.lock().expect("no holder of this lock panics").n_back as u64;
        seen.push(Bound::new("ports that came back and were used up again", n_all, (0, None)));
        Ok(BalancerReport::of(seen, began))
    }
}
