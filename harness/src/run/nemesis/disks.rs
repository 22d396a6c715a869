//! Disks in trouble and without power, and the bytes and operations that prove it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use squall_nemeses::disk::probe::{DiskReport, Left, Probe};
use squall_nemeses::disk::{Cut, Disk, Rot, Trouble};
use squall_nemeses::{Change, Proof, Resolved, State, World};
use tokio::sync::MutexGuard;

use super::{Nemesis, blocking};

/// How long a torn power cut waits for an fsync to be cut in. A store that is written to asks for one within milliseconds; for one that is not, a
/// cut between two writes is as good as any.
const FSYNC_BOUND: Duration = Duration::from_millis(50);

/// Nodes whose disks change, with what is wrong with them from now on.
type Changed<'a> = Vec<(&'a String, &'a Trouble)>;

/// Disks whose power is about to be cut, with what the probes left on those that are mounted.
pub(super) type Doomed = BTreeMap<String, (Cut, Option<Left>)>;

impl Nemesis {
    /// Before the processes change: what is wrong with disks from now on, each proved; and probes on those whose power is about to be cut.
    pub(super) async fn change_disks(&self, change: &Change, after: &State) -> Result<(Vec<Proof>, Doomed)> {
        let mut proofs = Vec::new();
        let (liars, others) = self.tell_liars(change)?;
        proofs.extend(self.replace_liars(liars, change, after).await?);
        for (node, trouble) in others {
            let changed = self.trouble_disk(node, trouble, change, after).await;
            proofs.extend(changed.with_context(|| format!("change the disk of {node}"))?);
        }
        let mut doomed = Doomed::new();
        for (node, cut) in &change.cuts_of_power {
            let left = self
                .leave_bytes(node, *cut)
                .await
                .with_context(|| format!("probe the disk of {node}"))?;
            doomed.insert(node.clone(), (*cut, left));
        }
        Ok((proofs, doomed))
    }

    /// After the kills: the power goes, and what the probes left is looked at.
    pub(super) async fn cut_power(&self, doomed: Doomed) -> Result<Vec<Proof>> {
        let mut proofs = Vec::new();
        for (node, (cut, left)) in doomed {
            let disk = self.disk(&node)?;
            let lies = disk.trouble().lies();
            let report = blocking(move || match left {
                Some(left) => Ok(Some(left.cut_power(cut, lies)?)),
                None => disk.cut_power(cut).map(|_| None).map_err(Into::into),
            });
            proofs.extend(report.await.with_context(|| format!("cut the power of {node}"))?.map(Proof::from));
        }
        Ok(proofs)
    }

    /// Nodes that were started on a disk that is still in trouble may end of it again.
    pub(super) fn expect_exits_of_restarted(&self, change: &Change, after: &State) {
        for node in &change.restart {
            if after.disks.get(node).is_some_and(Trouble::may_end_a_node) {
                self.cluster.expect_exit(node);
            }
        }
    }

    /// The power is back: the nodes run, their disks are mounted and do what disks do.
    pub(super) async fn prove_power(&self, world: MutexGuard<'_, World>, resolved: &Resolved) -> Result<Vec<Proof>> {
        let now = world.desired();
        let mut proofs = Vec::new();
        for node in resolved.state.down.difference(&now.down).filter(|node| !self.has_departed(node)) {
            let trouble = now.disks.get(node).cloned().unwrap_or_default().with_power();
            let report = self.prove_disk(node, trouble.clone(), trouble, true).await;
            proofs.extend(report.with_context(|| format!("probe the disk of {node}"))?.map(Proof::from));
        }
        Ok(proofs)
    }

    /// The disks that lied and are to lie no more, and the others.
    fn tell_liars<'a>(&self, change: &'a Change) -> Result<(Changed<'a>, Changed<'a>)> {
        let (mut liars, mut others) = (Changed::new(), Changed::new());
        for (node, trouble) in &change.disks {
            let lied = self.disk(node)?.trouble().lies();
            let group = if lied && !trouble.lies() { &mut liars } else { &mut others };
            group.push((node, trouble));
        }
        Ok((liars, others))
    }

    /// A disk that lied is replaced, and with that all of them lose their power at once: only so a lie comes out.
    async fn replace_liars(&self, liars: Changed<'_>, change: &Change, after: &State) -> Result<Vec<Proof>> {
        let mut proofs = Vec::new();
        let mut doomed = Doomed::new();
        for (node, _) in &liars {
            doomed.insert((*node).clone(), (Cut::Clean, self.leave_bytes(node, Cut::Clean).await?));
        }
        for (node, _) in &liars {
            proofs.extend(self.kill_node(node, false).await?);
        }
        proofs.extend(self.cut_power(doomed).await?);
        for (node, trouble) in &liars {
            self.disk(node)?.set_trouble((*trouble).clone());
            if self.is_started_here(node, change, after) {
                self.cluster.start(node).await?;
            }
        }
        for (node, trouble) in &liars {
            let report = self.prove_disk(node, (*trouble).clone(), (*trouble).clone(), true).await;
            proofs.extend(report.with_context(|| format!("probe the disk of {node}"))?.map(Proof::from));
        }
        Ok(proofs)
    }

    async fn trouble_disk(&self, node: &String, trouble: &Trouble, change: &Change, after: &State) -> Result<Option<Proof>> {
        let disk = self.disk(node)?;
        let before = disk.trouble();
        if trouble.may_end_a_node() {
            // From now on, and before the first operation fails.
            self.cluster.expect_exit(node);
            disk.take_failures();
        }
        let is_worse = before == Trouble::default();
        let mut misplaced = 0;
        if !is_worse {
            disk.set_trouble(trouble.clone());
            misplaced = disk.take_misplaced();
            if before.may_end_a_node() && !trouble.may_end_a_node() {
                self.replace_node(node, &disk, change, after).await?;
            }
        }
        let damage_ends = before.damages() && !trouble.damages();
        // Where the disk was well until now, the probe is prepared on it first.
        let report = self.prove_disk(node, trouble.clone(), before, is_worse).await?;
        Ok(report.map(|mut report| {
            if misplaced > 0 {
                report.said += &format!("; {misplaced} writes of the node had landed elsewhere");
            }
            if damage_ends && disk.is_damaged() {
                report.said += "; what is damaged stays so";
            }
            Proof::from(report)
        }))
    }

    /// A node whose disk failed it is started again on the mended one: it has ended, or it may be about to. One that met no error goes on, unless its disk was
    /// damaged: that comes out when it reads what it has.
    async fn replace_node(&self, node: &String, disk: &Disk, change: &Change, after: &State) -> Result<()> {
        if self.cluster.is_running(node) {
            if disk.take_failures() == 0 && !disk.is_damaged() {
                self.cluster.expect_no_exit(node);
                return Ok(());
            }
            self.kill_node(node, true).await?;
        }
        if self.is_started_here(node, change, after) {
            self.cluster.start(node).await?;
        }
        Ok(())
    }

    /// Whether a node that ended is to run again, and nothing else starts it. Who is out comes back with nothing, when it is taken in.
    fn is_started_here(&self, node: &String, change: &Change, after: &State) -> bool {
        !after.down.contains(node) && !change.restart.contains(node) && !self.cluster.comings().is_out(node)
    }

    /// Proves what is wrong with a mounted disk; with `prepare` the trouble is made in between, and the file of the probe before. `None` if the node does
    /// not run, or ended this moment.
    async fn prove_disk(&self, node: &str, trouble: Trouble, before: Trouble, prepare: bool) -> Result<Option<DiskReport>> {
        let disk = self.disk(node)?;
        let Some(probe) = self.probe(node, &disk).await else {
            let rot = new_rot(&trouble, &before).cloned();
            disk.set_trouble(trouble);
            return blocking(move || Ok(rot.map(|rot| disk.rot(&rot)).transpose()?)).await.map(|_| None);
        };
        let prove = move || {
            if prepare {
                probe.prepare()?;
            }
            disk.set_trouble(trouble.clone());
            let mut report = probe.prove(&trouble, &before)?;
            if let Some(rot) = new_rot(&trouble, &before) {
                let rotten = probe.rot(rot)?;
                report.ok &= rotten.ok;
                report.said = format!("{}; {}", report.said, rotten.said);
                report.flips = rotten.flips;
            }
            Ok(report)
        };
        blocking(prove).await.map(Some)
    }

    async fn leave_bytes(&self, node: &str, cut: Cut) -> Result<Option<Left>> {
        let disk = self.disk(node)?;
        let Some(probe) = self.probe(node, &disk).await else {
            return Ok(None);
        };
        let leave = move || {
            let left = probe.leave()?;
            if matches!(cut, Cut::Torn(_)) {
                disk.hold_fsync(1);
                disk.wait_held(FSYNC_BOUND);
            }
            Ok(left)
        };
        blocking(leave).await.map(Some)
    }

    async fn probe(&self, node: &str, disk: &Disk) -> Option<Probe> {
        let target = self.cluster.target(node);
        let init_pid = target.init_pid?;
        let (disk, stamp) = (disk.clone(), self.next_stamp());
        let open = move || Ok(Probe::open(&target.id, init_pid, &target.data, &disk, stamp)?);
        // It ended by itself this moment, which is its watcher's finding.
        blocking(open).await.ok()
    }

    pub(super) fn disk(&self, node: &str) -> Result<Disk> {
        let disk = self.cluster.disk(node).cloned();
        disk.with_context(|| format!("{node} has no disk of ours"))
    }
}

/// The bits that are to flip now: those of a fault in force have flipped.
fn new_rot<'a>(trouble: &'a Trouble, before: &Trouble) -> Option<&'a Rot> {
    trouble.rot.as_ref().filter(|rot| before.rot.as_ref() != Some(rot))
}
