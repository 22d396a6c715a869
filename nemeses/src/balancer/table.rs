//! Proof of what the balancer does by its flow table: where other faults cut every node off from the clients no connection shows anything, and how many ports
//! came back while they were to be used up only the table knows.

use std::os::fd::AsFd;
use std::time::Instant;

use super::flows::Flows;
use super::{Balancer, BalancerReport, BalancerTrouble};
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

    /// Adds to a report how many ports came back since they were used up, and were used up again.
    #[must_use]
    pub fn with_ports_back(&self, mut report: BalancerReport) -> BalancerReport {
        let n_back = self.now.lock().expect("no holder of this lock panics").n_back as u64;
        report
            .seen
            .push(Bound::new("ports that came back and were used up again", n_back, (0, None)));
        report
    }
}
