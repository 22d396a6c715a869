//! The thread that lives in the router's network namespace and owns the back end.
//!
//! Sockets and child processes belong to the namespace of the thread that makes them, and a thread should enter a namespace once and stay.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::choose::{FEW_NODES, open_here};
use super::shaping::{Abilities, Shaped, Shaping};
use super::{AddressCuts, AddressPair, Applied, Arm, BackEnd, LinkBackEnd, Standing};
use crate::link::Quality;
use crate::{Error, Result, netns};

/// Longer than the limits of the programs and sockets inside, so that their more telling errors come first.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// The router's cuts. Dropping it leaves the cuts as they are; they go with the namespace.
#[derive(Debug)]
pub struct Links {
    commands: Option<SyncSender<Command>>,
    thread: Option<JoinHandle<()>>,
    back_end: BackEnd,
    refused: Vec<(BackEnd, String)>,
    abilities: Option<Abilities>,
}

/// The qualities of all links that are not healthy.
type AddressLinks = BTreeMap<AddressPair, Quality>;

enum Command {
    Shape(Vec<Arm>, Option<Shaping>, u64, SyncSender<Result<Abilities>>),
    Apply(AddressLinks, SyncSender<Result<Applied>>),
    Standing(SyncSender<Result<Standing>>),
}

impl Links {
    /// Opens the best back end that works in the router's namespace, or the one that `choice` names. Two are never used together: a
    /// refused one is removed before the next is tried. For clusters of more than a few nodes see [`Links::open_for`].
    ///
    /// # Errors
    /// If none works; the text has the reason of each.
    pub fn open(router: impl AsFd, choice: Option<BackEnd>, folders: &[PathBuf]) -> Result<Links> {
        Links::open_for(FEW_NODES, router, choice, folders)
    }

    /// Like [`Links::open`], but takes only a back end that can cut every pair of `n_nodes` at once. What one atomic change of nf_tables may hold
    /// depends on a socket's buffer: `iptables-nft-restore` 1.8.9 fails at 800 pairs where netlink takes 9900.
    ///
    /// # Errors
    /// If none works; the text has the reason of each.
    pub fn open_for(n_nodes: u8, router: impl AsFd, choice: Option<BackEnd>, folders: &[PathBuf]) -> Result<Links> {
        let mut refused = Vec::new();
        let candidates = choice.map_or(BackEnd::OF_ROUTER.to_vec(), |choice| vec![choice]);
        for back_end in candidates {
            match Links::start(router.as_fd(), back_end, folders, n_nodes) {
                Ok(mut links) => {
                    links.refused = refused;
                    return Ok(links);
                }
                Err(error) => refused.push((back_end, error.to_string())),
            }
        }
        let reasons: Vec<String> = refused.iter().map(|(back_end, reason)| format!("{back_end}: {reason}")).collect();
        Err(Error::Unusable(format!("no way to cut links works here: {}", reasons.join("; "))))
    }

    /// Opens one back end, proved by a try.
    pub(super) fn start(router: BorrowedFd<'_>, back_end: BackEnd, folders: &[PathBuf], n_nodes: u8) -> Result<Links> {
        let router = router
            .try_clone_to_owned()
            .map_err(Error::system("keep the router's namespace open"))?;
        let folders = folders.to_vec();
        let (commands, inbox) = sync_channel(1);
        let (opened, outcome) = sync_channel(1);
        let work = move || match netns::enter(&router).and_then(|()| open_here(back_end, &folders, n_nodes)) {
            Ok(links) => {
                if opened.send(Ok(())).is_ok() {
                    serve(back_end, links, &inbox);
                }
            }
            // The one who asked waits for this with a limit; if it gave up, nobody misses the reason.
            Err(error) => drop(opened.send(Err(error))),
        };
        let thread = thread::Builder::new()
            .name("router".into())
            .spawn(work)
            .map_err(Error::system("start the router's thread"))?;
        let links = Links {
            commands: Some(commands),
            thread: Some(thread),
            back_end,
            refused: Vec::new(),
            abilities: None,
        };
        answer(&outcome, "opening the router's links").map(|()| links)
    }

    /// Which back end is in use.
    #[must_use]
    pub fn back_end(&self) -> BackEnd {
        self.back_end
    }

    /// The better back ends that do not work here, with their reasons.
    #[must_use]
    pub fn refused(&self) -> &[(BackEnd, String)] {
        &self.refused
    }

    /// Gets ready to make links bad in other ways than by cuts: by netem, or what stands in for it, or by what `choice` says. The chance of what
    /// is left to us comes from `seed`.
    ///
    /// # Errors
    /// If what was chosen does not work here, or an arm is not there.
    pub fn shape(&mut self, arms: &[Arm], choice: Option<Shaping>, seed: u64) -> Result<&Abilities> {
        let (reply, outcome) = sync_channel(1);
        self.send(Command::Shape(arms.to_vec(), choice, seed, reply))?;
        let abilities = answer(&outcome, "getting ready to make links bad")?;
        Ok(self.abilities.insert(abilities))
    }

    /// What can be done to links beside cuts; nothing before [`Links::shape`].
    #[must_use]
    pub fn abilities(&self) -> Option<&Abilities> {
        self.abilities.as_ref()
    }

    /// Makes `cuts` the whole set of cuts, in one atomic step.
    ///
    /// # Errors
    /// If the back end fails, which leaves the cuts as they were, or does not answer.
    pub fn apply(&self, cuts: &AddressCuts) -> Result<Applied> {
        self.apply_links(cuts.iter().map(|pair| (*pair, Quality::cut())).collect())
    }

    /// Makes these the qualities of all links, cuts and all; those that are not named are healthy. The cuts and all that the packet filter does
    /// change in one step, queues in steps of microseconds.
    ///
    /// # Errors
    /// If a quality is refused, the back end fails or does not answer.
    pub fn apply_links(&self, links: BTreeMap<AddressPair, Quality>) -> Result<Applied> {
        let (reply, outcome) = sync_channel(1);
        self.send(Command::Apply(links, reply))?;
        answer(&outcome, "changing the router's links")
    }

    /// Asks the kernel which cuts stand, and how many packets each dropped since it was applied.
    ///
    /// # Errors
    /// If the back end fails or does not answer.
    pub fn standing(&self) -> Result<Standing> {
        let (reply, outcome) = sync_channel(1);
        self.send(Command::Standing(reply))?;
        answer(&outcome, "listing the router's cuts")
    }

    fn send(&self, command: Command) -> Result<()> {
        let commands = self.commands.as_ref().expect("the channel is closed by drop alone");
        // Callers wait for their answer, so the queue of one is full only while a command overdue by `ANSWER_LIMIT` is still at work.
        commands
            .try_send(command)
            .map_err(|_| Error::Unusable("the router's thread is stuck or dead".into()))
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // Ends by itself: everything it does has a limit. A panic of it was already reported to the one who asked.
            let _ = thread.join();
        }
    }
}

fn serve(name: BackEnd, mut filter: Box<dyn LinkBackEnd>, inbox: &Receiver<Command>) {
    let mut shaped: Option<(Shaped, u64)> = None;
    while let Ok(command) = inbox.recv() {
        match command {
            Command::Shape(arms, choice, seed, reply) => {
                let opened = Shaped::open(&arms, choice, seed, filter.as_mut());
                let abilities = opened.map(|opened| shaped.insert((opened, seed)).0.abilities.clone());
                drop(reply.send(abilities));
            }
            Command::Apply(links, reply) => {
                let start = Instant::now();
                let outcome = change(shaped.as_mut().map(|(shaped, _)| shaped), &links, filter.as_mut());
                let shaping = shaped.as_ref().map(|(shaped, _)| shaped.abilities.shaping);
                let seed = shaped.as_ref().map(|(_, seed)| *seed);
                let n_cuts = links.values().filter(|quality| quality.cut).count();
                let applied = |()| Applied {
                    back_end: name,
                    shaping,
                    n_cuts,
                    n_bad: links.len() - n_cuts,
                    n_reset: 0,
                    // Netem's chance is the kernel's own.
                    seed: seed.filter(|_| shaping == Some(Shaping::Emulated)),
                    duration_us: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
                };
                drop(reply.send(outcome.map(applied)));
            }
            Command::Standing(reply) => drop(reply.send(filter.standing())),
        }
    }
}

fn change(shaped: Option<&mut Shaped>, links: &AddressLinks, filter: &mut dyn LinkBackEnd) -> Result<()> {
    if let Some(shaped) = shaped {
        return shaped.apply(links, filter);
    }
    if let Some(((from, to), _)) = links.iter().find(|(_, quality)| !quality.is_plain_cut()) {
        return Err(Error::Unusable(format!(
            "the link from {from} to {to} can only be cut: nothing shapes links here"
        )));
    }
    filter.apply(&links.keys().copied().collect())
}

fn answer<T>(outcome: &Receiver<Result<T>>, what: &str) -> Result<T> {
    match outcome.recv_timeout(ANSWER_LIMIT) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => Err(Error::Late {
            what: what.into(),
            limit_ms: ANSWER_LIMIT.as_millis() as u64,
        }),
        Err(RecvTimeoutError::Disconnected) => Err(Error::Unusable(format!("the router's thread died while {what}"))),
    }
}
