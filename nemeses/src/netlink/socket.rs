//! A blocking netlink socket: requests, dumps and atomic batches.
//!
//! The kernel works a request off inside the `send` call and has its answers ready when that returns, so there is nothing to gain from an
//! asynchronous socket. A socket belongs to the network namespace of the thread that opened it, whoever uses it later.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sockopt};
use nix::sys::time::TimeVal;

use super::wire::{self, HEADER, Message, Reply};
use crate::{Error, Result};

const KIND_ERROR: u16 = libc::NLMSG_ERROR as u16;
const KIND_DONE: u16 = libc::NLMSG_DONE as u16;
pub(crate) const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
pub(crate) const ACK: u16 = libc::NLM_F_ACK as u16;
pub(crate) const DUMP: u16 = libc::NLM_F_DUMP as u16;
pub(crate) const CREATE: u16 = libc::NLM_F_CREATE as u16;
pub(crate) const REPLACE: u16 = libc::NLM_F_REPLACE as u16;
pub(crate) const EXCLUSIVE: u16 = libc::NLM_F_EXCL as u16;
pub(crate) const APPEND: u16 = libc::NLM_F_APPEND as u16;
/// The reply carries attributes after the echoed header.
const ACK_HAS_ATTRIBUTES: u16 = 0x200;
const ATTRIBUTE_TEXT: u16 = 1;

/// An answer is ready when `send` returns; a second without one means that it was dropped for lack of buffer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Room for the rules of a hundred nodes in one batch (about 200 bytes per directed pair) and for their answers.
const BUFFER_BYTES: usize = 4 << 20;

/// Dumps come in pieces of at most 32 KiB (`NLMSG_GOODSIZE` and the kernel's limit for dumps).
const PIECE_BYTES: usize = 64 << 10;

/// Asks for large buffers. Beyond the limit that the administrator set only real root may go; within it the kernel grants what it likes.
/// A batch that still does not fit is refused as a whole, with an error that says so.
fn grow_buffers(socket: &OwnedFd) {
    if socket::setsockopt(socket, sockopt::SndBufForce, &BUFFER_BYTES).is_err() {
        let _ = socket::setsockopt(socket, sockopt::SndBuf, &BUFFER_BYTES);
    }
    if socket::setsockopt(socket, sockopt::RcvBufForce, &BUFFER_BYTES).is_err() {
        let _ = socket::setsockopt(socket, sockopt::RcvBuf, &BUFFER_BYTES);
    }
}

/// Switches on an option of level `SOL_NETLINK`; neither `nix` nor `rustix` knows any.
#[allow(unsafe_code, reason = "setsockopt of an option without a safe wrapper")]
fn enable(socket: &OwnedFd, option: libc::c_int) -> nix::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open for the length of the call, and the kernel reads `size_of::<c_int>()` bytes from a local of that type.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            std::ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    nix::errno::Errno::result(outcome).map(drop)
}

/// A netlink socket in one network namespace.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens rtnetlink (links, addresses, routes, rules) in the calling thread's network namespace.
    ///
    /// # Errors
    /// If the kernel gives no socket.
    pub fn open() -> Result<Netlink> {
        Netlink::open_protocol(SockProtocol::NetlinkRoute, "rtnetlink")
    }

    /// Opens nfnetlink (nftables) in the calling thread's network namespace.
    ///
    /// # Errors
    /// If the kernel has no netfilter or gives no socket.
    pub fn open_netfilter() -> Result<Netlink> {
        Netlink::open_protocol(SockProtocol::NetlinkNetFilter, "nfnetlink")
    }

    fn open_protocol(protocol: SockProtocol, name: &str) -> Result<Netlink> {
        let open = || -> nix::Result<OwnedFd> {
            let socket = socket::socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
            socket::bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
            socket::setsockopt(
                &socket,
                sockopt::ReceiveTimeout,
                &TimeVal::new(ANSWER_LIMIT.as_secs().cast_signed(), 0),
            )?;
            enable(&socket, libc::NETLINK_CAP_ACK)?;
            enable(&socket, libc::NETLINK_EXT_ACK)?;
            grow_buffers(&socket);
            Ok(socket)
        };
        Ok(Netlink {
            socket: open().map_err(Error::system(format!("open a {name} socket")))?,
            sequence: 0,
        })
    }

    /// Sends one request and returns what the kernel answered, without acknowledgements. A request with `NLM_F_DUMP` returns the whole dump.
    /// `what` completes the sentence "kernel refused to …".
    ///
    /// # Errors
    /// [`Error::Refused`] with the kernel's words if it has any, [`Error::System`] if the socket fails.
    pub fn request(&mut self, what: &str, message: Message) -> Result<Vec<Reply>> {
        self.batch(what, vec![message])
    }

    /// Sends several requests in one datagram, acknowledged by the last one, and returns the answers of all.
    ///
    /// rtnetlink works them off one after another and goes on after an error; nfnetlink applies what stands between
    /// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END` as a whole or not at all.
    ///
    /// # Errors
    /// The first refusal, as in [`Netlink::request`].
    pub fn batch(&mut self, what: &str, messages: Vec<Message>) -> Result<Vec<Reply>> {
        let last = messages.len().saturating_sub(1);
        self.batch_acknowledged_at(what, messages, last)
    }

    /// Like [`Netlink::batch`] with the acknowledgement asked of message `at`: the end of an nftables batch gives none.
    pub(crate) fn batch_acknowledged_at(&mut self, what: &str, messages: Vec<Message>, at: usize) -> Result<Vec<Reply>> {
        let mut datagram = Vec::new();
        let first = self.sequence.wrapping_add(1);
        let mut awaited = first;
        for (place, message) in messages.into_iter().enumerate() {
            self.sequence = self.sequence.wrapping_add(1);
            let dump = message.flags() & DUMP == DUMP;
            if place == at {
                awaited = self.sequence;
            }
            let acknowledge = if place == at && !dump { ACK } else { 0 };
            datagram.extend_from_slice(&message.finish(REQUEST | acknowledge, self.sequence));
        }
        socket::send(self.socket.as_raw_fd(), &datagram, MsgFlags::empty())
            .map_err(Error::system(format!("send the request to {what}")))?;
        self.answers(what, first, awaited)
    }

    /// From now on this socket carries what the kernel sends by itself: overruns are no errors, and [`Netlink::receive`] does not wait.
    pub(crate) fn stream(&self) -> Result<()> {
        enable(&self.socket, libc::NETLINK_NO_ENOBUFS).map_err(Error::system("switch off the errors of a full netlink socket"))
    }

    /// What the kernel sent by itself; nothing if there is nothing.
    pub(crate) fn receive(&mut self, what: &str) -> Result<Vec<Reply>> {
        let mut piece = vec![0; PIECE_BYTES + PIECE_BYTES];
        match socket::recv(self.socket.as_raw_fd(), &mut piece, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => Ok(wire::messages(&piece[..length])),
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(Vec::new()),
            Err(error) => Err(Error::system(what)(error)),
        }
    }

    /// Sends a message that is not answered unless it fails.
    pub(crate) fn tell(&mut self, what: &str, message: Message) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let datagram = message.finish(REQUEST, self.sequence);
        socket::send(self.socket.as_raw_fd(), &datagram, MsgFlags::empty()).map_err(Error::system(what))?;
        Ok(())
    }

    /// Reads until the acknowledgement or the end of the dump `awaited`. Answers to requests before `first` are left-overs of a
    /// refused one and are passed over.
    fn answers(&mut self, what: &str, first: u32, awaited: u32) -> Result<Vec<Reply>> {
        let mut replies = Vec::new();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let length = match socket::recv(self.socket.as_raw_fd(), &mut piece, MsgFlags::empty()) {
                Err(nix::Error::EINTR) => continue,
                Err(nix::Error::EAGAIN) => {
                    return Err(Error::Late {
                        what: format!("the kernel's answer to {what}"),
                        limit_ms: ANSWER_LIMIT.as_millis() as u64,
                    });
                }
                other => other.map_err(Error::system(format!("receive the kernel's answer to {what}")))?,
            };
            for reply in wire::messages(&piece[..length]) {
                if reply.sequence.wrapping_sub(first) > awaited.wrapping_sub(first) {
                    continue;
                }
                match reply.kind {
                    KIND_ERROR | KIND_DONE => {
                        refusal(what, &reply)?;
                        if reply.sequence == awaited {
                            return Ok(replies);
                        }
                    }
                    _ => replies.push(reply),
                }
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The error an acknowledgement or an end of dump carries: a negative error number, then for an acknowledgement the request's header.
fn refusal(what: &str, reply: &Reply) -> Result<()> {
    let code = reply.body.first_chunk::<4>().map_or(0, |code| i32::from_ne_bytes(*code));
    if code == 0 {
        return Ok(());
    }
    let fixed = if reply.kind == KIND_ERROR { 4 + HEADER } else { 4 };
    let text = (reply.flags & ACK_HAS_ATTRIBUTES != 0)
        .then(|| reply.attributes(fixed).find(ATTRIBUTE_TEXT))
        .flatten()
        .map(|text| String::from_utf8_lossy(text).trim_end_matches('\0').to_string());
    Err(Error::Refused {
        what: what.to_string(),
        source: io::Error::from_raw_os_error(code.saturating_neg()),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_the_links_of_this_machine() {
        let mut netlink = Netlink::open().unwrap();
        let links = netlink
            .request("list links", Message::new(libc::RTM_GETLINK, DUMP).fixed(&[0; 16]))
            .unwrap();
        assert!(
            links
                .iter()
                .any(|link| link.attributes(16).find(libc::IFLA_IFNAME) == Some(b"lo\0"))
        );
    }

    #[test]
    fn says_what_the_kernel_refused_and_goes_on() {
        let mut netlink = Netlink::open().unwrap();
        let error = netlink.index("no-such-link").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("kernel refused to find link `no-such-link`: No such device"),
            "{error}"
        );
        netlink.index("lo").unwrap();
    }

    #[test]
    fn shows_the_kernels_own_words() {
        let body = [(-22i32).to_ne_bytes().as_slice(), &[0; HEADER], &[12, 0, 1, 0], b"bad ego\0"].concat();
        let reply = Reply {
            kind: KIND_ERROR,
            flags: ACK_HAS_ATTRIBUTES,
            sequence: 1,
            body,
        };
        assert_eq!(
            refusal("add it", &reply).unwrap_err().to_string(),
            "kernel refused to add it: Invalid argument (os error 22) (bad ego)"
        );
    }
}
