//! A small HTTP/1.1 client: one request at a time over one kept connection, every size bounded, nothing sent twice.
//!
//! Main decision: our own instead of a library's, because general clients reconnect and retry on their own, and a write that is sent
//! again writes its value twice. Of the grammar (RFC 9112) only what servers of databases send is spoken: a final response, framed by
//! a length or by chunks. Everything else is refused, and a connection that showed it is not used again.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Longest head of a response (status line, headers and, after the body, trailers), in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Longest body of a response, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Longest line before a chunk, in bytes: eight digits, and a little for an extension.
const CHUNK_LINE_BYTES_MAX: usize = 64;

/// Why no response can be had from a connection any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The connection broke or could not be made.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer sent something that is no response this client knows.
    #[error("not a response: {0}")]
    Malformed(&'static str),
    /// The peer sent more than a bound allows: of its head, its body or the line before a chunk.
    #[error("response too long: its {0}")]
    TooLong(&'static str),
}

/// A final response, read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// 200 to 599.
    pub(crate) status: u16,
    /// When the peer says it answered, as it wrote it.
    pub(crate) date: Option<String>,
    /// Decoded from its framing.
    pub(crate) body: Vec<u8>,
    /// Whether the peer keeps the connection.
    keeps: bool,
}

#[cfg(test)]
impl Response {
    /// A response that need not be read.
    pub(crate) fn of(status: u16, body: impl AsRef<[u8]>) -> Response {
        Response {
            status,
            date: None,
            body: body.as_ref().to_vec(),
            keeps: true,
        }
    }
}

/// One connection to one server.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    host: SocketAddr,
    out: Vec<u8>,
    /// False from the first byte of a request to the last byte of its response: an exchange that was dropped half-way leaves it so.
    in_step: bool,
}

impl Connection {
    /// Connects within `timeout`.
    pub(crate) async fn open(host: SocketAddr, timeout: Duration) -> io::Result<Connection> {
        let stream = tokio::time::timeout(timeout, TcpStream::connect(host))
            .await
            .map_err(|_| late("connection"))??;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream: BufReader::new(stream),
            host,
            out: Vec::new(),
            in_step: true,
        })
    }

    /// Whether the next request can go over this connection: the last one was answered in full, and the peer has neither closed it nor
    /// sent what nobody asked for. Only a hint about the peer, which may close it right after.
    pub(crate) fn is_usable(&self) -> bool {
        // The kernel is asked, not tokio: what tokio knows of a socket is as old as its last turn.
        let peeked = recv(self.stream.get_ref(), &mut [0u8; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        self.in_step && self.stream.buffer().is_empty() && matches!(peeked, Err(Errno::WOULDBLOCK))
    }

    /// Encodes a GET; [`Connection::exchange`] sends it.
    pub(crate) fn encode_get(&mut self, path: &str) {
        self.out.clear();
        self.out
            .extend_from_slice(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host).as_bytes());
    }

    /// Encodes a POST of a JSON text; [`Connection::exchange`] sends it.
    pub(crate) fn encode_post(&mut self, path: &str, json: &str) {
        let (host, length) = (self.host, json.len());
        let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
        self.out.clear();
        self.out.extend_from_slice(head.as_bytes());
        self.out.extend_from_slice(json.as_bytes());
    }

    /// Sends the encoded request, once, and reads the response to its end. The caller sets the time limit.
    ///
    /// # Errors
    /// The request may have arrived all the same. The connection is of no use afterwards.
    pub(crate) async fn exchange(&mut self) -> Result<Response, HttpError> {
        self.in_step = false;
        self.stream.get_mut().write_all(&self.out).await?;
        let response = read_response(&mut self.stream).await?;
        self.in_step = response.keeps;
        Ok(response)
    }
}

/// Asks one question over a connection of its own, within `timeout`.
pub(crate) async fn get(host: SocketAddr, path: &str, timeout: Duration) -> Result<Response, HttpError> {
    ask(host, timeout, |connection| connection.encode_get(path)).await
}

/// Posts one JSON text over a connection of its own, within `timeout`.
pub(crate) async fn post(host: SocketAddr, path: &str, json: &str, timeout: Duration) -> Result<Response, HttpError> {
    ask(host, timeout, |connection| connection.encode_post(path, json)).await
}

async fn ask(host: SocketAddr, timeout: Duration, encode: impl FnOnce(&mut Connection)) -> Result<Response, HttpError> {
    let exchange = async {
        let mut connection = Connection::open(host, timeout).await?;
        encode(&mut connection);
        connection.exchange().await
    };
    tokio::time::timeout(timeout, exchange).await.map_err(|_| late("answer"))?
}

fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no {what} in time"))
}

/// How the end of a body is found (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunks,
}

async fn read_response(input: &mut (impl AsyncBufRead + Unpin)) -> Result<Response, HttpError> {
    let mut head_left = HEAD_BYTES_MAX;
    let status = status_of(&read_line(input, &mut head_left, "head").await?)?;
    let (mut framing, mut keeps, mut date) = (None, true, None);
    loop {
        let line = read_line(input, &mut head_left, "head").await?;
        if line.is_empty() {
            break;
        }
        let (name, value) = header_of(&line)?;
        let found = if name.eq_ignore_ascii_case(b"content-length") {
            Framing::Length(length_of(value)?)
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            chunks_of(value)?
        } else {
            if name.eq_ignore_ascii_case(b"connection") {
                keeps &= !value.eq_ignore_ascii_case(b"close");
            }
            if name.eq_ignore_ascii_case(b"date") {
                date = String::from_utf8(value.to_vec()).ok();
            }
            continue;
        };
        // Two framings are how one response is smuggled inside another (RFC 9112, section 11.2).
        if framing.replace(found).is_some_and(|before| before != found) {
            return Err(HttpError::Malformed("two framings of one body"));
        }
    }
    let body = match framing.ok_or(HttpError::Malformed("neither a length nor chunks"))? {
        Framing::Length(length) => {
            let mut body = Vec::new();
            read_onto(input, &mut body, length).await?;
            body
        }
        Framing::Chunks => read_chunks(input, &mut head_left).await?,
    };
    Ok(Response { status, date, body, keeps })
}

/// Reads chunks and the trailers after them (RFC 9112, section 7.1).
async fn read_chunks(input: &mut (impl AsyncBufRead + Unpin), head_left: &mut usize) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    loop {
        let mut line_left = CHUNK_LINE_BYTES_MAX;
        let size = chunk_size_of(&read_line(input, &mut line_left, "chunk line").await?)?;
        if size == 0 {
            while !read_line(input, head_left, "head").await?.is_empty() {}
            return Ok(body);
        }
        read_onto(input, &mut body, size).await?;
        if !read_line(input, &mut line_left, "chunk line").await?.is_empty() {
            return Err(HttpError::Malformed("a chunk longer than it says"));
        }
    }
}

/// Reads one line and gives it without its CRLF; its bytes are taken from `left`.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin), left: &mut usize, part: &'static str) -> Result<Vec<u8>, HttpError> {
    let mut line = Vec::new();
    input.take(*left as u64).read_until(b'\n', &mut line).await?;
    *left -= line.len();
    match line.last() {
        Some(b'\n') if line.ends_with(b"\r\n") => {
            line.truncate(line.len() - 2);
            Ok(line)
        }
        Some(b'\n') => Err(HttpError::Malformed("a line that ends without CR")),
        _ if *left == 0 => Err(HttpError::TooLong(part)),
        _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}

/// Reads exactly `size` bytes onto the end of `body`.
async fn read_onto(input: &mut (impl AsyncBufRead + Unpin), body: &mut Vec<u8>, size: usize) -> Result<(), HttpError> {
    let start = body.len();
    if size > BODY_BYTES_MAX - start {
        return Err(HttpError::TooLong("body"));
    }
    body.resize(start + size, 0);
    input.read_exact(&mut body[start..]).await?;
    Ok(())
}

fn status_of(line: &[u8]) -> Result<u16, HttpError> {
    let Some([a, b, c, rest @ ..]) = line.strip_prefix(b"HTTP/1.1 ") else {
        return Err(HttpError::Malformed("no status line of HTTP/1.1"));
    };
    let ends = matches!(rest, [] | [b' ', ..]);
    match [a, b, c].into_iter().try_fold(0, |sum, digit| {
        Some(sum * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?))
    }) {
        Some(status @ 200..=599) if ends => Ok(status),
        _ => Err(HttpError::Malformed("a status that is not final")),
    }
}

fn header_of(line: &[u8]) -> Result<(&[u8], &[u8]), HttpError> {
    let colon = line
        .iter()
        .position(|byte| *byte == b':')
        .ok_or(HttpError::Malformed("a header without a colon"))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    // A space here folds or hides a header (RFC 9112, sections 5.1 and 5.2).
    if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
        return Err(HttpError::Malformed("a header whose name is none"));
    }
    Ok((name, value.trim_ascii()))
}

fn length_of(value: &[u8]) -> Result<usize, HttpError> {
    number_of(value, 10).ok_or(HttpError::Malformed("a length that is no number"))
}

fn chunks_of(value: &[u8]) -> Result<Framing, HttpError> {
    if value.eq_ignore_ascii_case(b"chunked") {
        Ok(Framing::Chunks)
    } else {
        Err(HttpError::Malformed("an unknown coding"))
    }
}

fn chunk_size_of(line: &[u8]) -> Result<usize, HttpError> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    number_of(digits, 16).ok_or(HttpError::Malformed("a chunk without a size"))
}

/// Digits and nothing else; `from_str_radix` alone would take a sign.
fn number_of(digits: &[u8], radix: u32) -> Option<usize> {
    let digits = str::from_utf8(digits).ok()?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    usize::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// What etcd 3.4.23 answers to a put without a quorum, trailers and all.
    const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nTrailer: Grpc-Trailer-Content-Type\r\n\
        Transfer-Encoding: chunked\r\n\r\n1d\r\n{\"error\":\"request timed out\"}\r\n2;x=y\r\n\r\n\r\n0\r\n\
        Grpc-Trailer-Content-Type: application/grpc\r\n\r\n";
    const HEALTH: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-LENGTH:  17 \r\nX-Empty:\r\n\r\n{\"health\":\"true\"}";

    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be built")
            .block_on(future)
    }

    fn read(mut input: &[u8]) -> Result<Response, HttpError> {
        wait(read_response(&mut input))
    }

    #[track_caller]
    fn refuses(input: impl AsRef<[u8]>, reason: &str) {
        let error = read(input.as_ref()).expect_err("this is no response");
        assert!(error.to_string().contains(reason), "`{error}` does not say `{reason}`");
    }

    #[test]
    fn reads_a_response_however_it_is_split() {
        let expected = [
            (HEALTH, Response::of(200, "{\"health\":\"true\"}")),
            (REFUSAL, Response::of(503, "{\"error\":\"request timed out\"}\r\n")),
        ];
        for (bytes, expected) in expected {
            for split in 0..=bytes.len() {
                let (left, right) = bytes.split_at(split);
                let mut input = BufReader::new(left.chain(right));
                assert_eq!(wait(read_response(&mut input)).expect("a response"), expected, "split at {split}");
            }
            let mut bytewise = BufReader::with_capacity(1, bytes);
            assert_eq!(wait(read_response(&mut bytewise)).expect("a response"), expected);
        }
    }

    #[test]
    fn misses_the_rest_of_every_cut_response() {
        for bytes in [HEALTH, REFUSAL] {
            for end in 0..bytes.len() {
                let error = read(&bytes[..end]).expect_err("a cut response is none");
                assert!(
                    matches!(&error, HttpError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof),
                    "cut at {end}: {error}"
                );
            }
        }
    }

    #[test]
    fn reads_no_byte_of_what_follows_a_response() {
        for bytes in [HEALTH, REFUSAL] {
            let two = [bytes, b"HTTP/1.1 next"].concat();
            let mut input = &two[..];
            wait(read_response(&mut input)).expect("a response");
            assert_eq!(input, b"HTTP/1.1 next");
        }
    }

    #[test]
    fn knows_when_the_peer_will_close() {
        let closing = read(b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n").expect("a response");
        assert!(!closing.keeps);
    }

    #[test]
    fn refuses_what_passes_a_bound() {
        let ok = "HTTP/1.1 200 OK\r\n";
        refuses("x".repeat(HEAD_BYTES_MAX + 1), "its head");
        refuses(format!("{ok}{}", "A: b\r\n".repeat(HEAD_BYTES_MAX / 6)), "its head");
        refuses(format!("{ok}Content-Length: {}\r\n\r\n", BODY_BYTES_MAX + 1), "its body");
        refuses(format!("{ok}Content-Length: {}\r\n\r\n", u64::MAX), "its body");
        let chunked = format!("{ok}Transfer-Encoding: chunked\r\n\r\n");
        refuses(format!("{chunked}ffffffff\r\n"), "its body");
        refuses(format!("{chunked}fffff\r\n{}\r\n2\r\n", "x".repeat(0xfffff)), "its body");
        refuses(format!("{chunked}1;{}\r\n", "x".repeat(CHUNK_LINE_BYTES_MAX)), "its chunk line");
        refuses(format!("{chunked}0\r\n{}", "A: b\r\n".repeat(HEAD_BYTES_MAX / 6)), "its head");
        let longest = format!("{ok}Content-Length: {BODY_BYTES_MAX}\r\n\r\n{}", "x".repeat(BODY_BYTES_MAX));
        assert_eq!(read(longest.as_bytes()).expect("within the bound").body.len(), BODY_BYTES_MAX);
    }

    #[test]
    fn refuses_what_is_no_response() {
        refuses("\r\n\r\n", "no status line");
        refuses("SSH-2.0-x\r\n", "no status line");
        refuses("HTTP/1.0 200 OK\r\n", "no status line");
        refuses("HTTP/1.1 20\r\n", "no status line");
        for status in ["2x0 OK", "2000", "099", "100 Continue", "600", "+20 x"] {
            refuses(format!("HTTP/1.1 {status}\r\n"), "a status that is not final");
        }
        refuses("HTTP/1.1 200 OK\nContent-Length: 0\n\n", "without CR");
        for (headers, reason) in [
            ("", "neither a length nor chunks"),
            ("Content-Length 3\r\n", "without a colon"),
            (": 3\r\n", "whose name is none"),
            (" Content-Length: 3\r\n", "whose name is none"),
            ("Content-Length : 3\r\n", "whose name is none"),
            ("Content-Length: +3\r\n", "no number"),
            ("Content-Length: 3, 3\r\n", "no number"),
            ("Content-Length: \r\n", "no number"),
            ("Content-Length: 3\r\nContent-Length: 4\r\n", "two framings"),
            ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "two framings"),
            ("Transfer-Encoding: gzip, chunked\r\n", "unknown coding"),
        ] {
            refuses(format!("HTTP/1.1 200 OK\r\n{headers}\r\nabc"), reason);
        }
        for (chunks, reason) in [
            ("\r\n", "without a size"),
            ("-1\r\n", "without a size"),
            ("+1\r\n", "without a size"),
            ("1\r\nab\r\n", "longer than it says"),
        ] {
            refuses(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"), reason);
        }
        refuses(b"\xff\xfe\0\r\n", "no status line");
    }

    #[test]
    fn survives_every_byte_in_every_place() {
        wait(async {
            for bytes in [HEALTH, REFUSAL] {
                for place in 0..bytes.len() {
                    for byte in 0..=u8::MAX {
                        let mut spoilt = bytes.to_vec();
                        spoilt[place] = byte;
                        // Some of these are responses; none may panic or ask for more than there is.
                        let _ = read_response(&mut &spoilt[..]).await;
                    }
                }
            }
        });
    }

    /// Answers each connection's requests with `reply`, `times` times, then closes it; gives the address and what it read.
    async fn serve(reply: &'static [u8], times: usize) -> (SocketAddr, tokio::task::JoinHandle<Vec<u8>>) {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("loopback has ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let heard = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut heard = vec![0; 4096];
            let mut length = 0;
            for _ in 0..times {
                length += stream.read(&mut heard[length..]).await.expect("a request");
                stream.write_all(reply).await.expect("the client reads");
            }
            heard.truncate(length);
            heard
        });
        (address, heard)
    }

    #[test]
    fn sends_each_request_once_over_one_connection() {
        wait(async {
            let (address, heard) = serve(HEALTH, 2).await;
            let mut connection = Connection::open(address, Duration::from_secs(5)).await.expect("somebody listens");
            connection.encode_get("/health");
            connection.exchange().await.expect("a response");
            assert!(connection.is_usable());
            connection.encode_post("/v3/kv/put", "{}");
            connection.exchange().await.expect("a response");
            let expected = format!(
                "GET /health HTTP/1.1\r\nHost: {address}\r\n\r\n\
                 POST /v3/kv/put HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
            );
            assert_eq!(String::from_utf8_lossy(&heard.await.expect("the server ends")), expected);
            assert_eq!(connection.stream.get_ref().readable().await.ok(), Some(()));
            assert!(!connection.is_usable(), "the server has closed it");
        });
    }

    #[test]
    fn does_not_use_a_connection_again_that_was_left_half_way() {
        wait(async {
            let (address, _heard) = serve(b"HTTP/1.1 200 OK\r\n", 1).await;
            let mut connection = Connection::open(address, Duration::from_secs(5)).await.expect("somebody listens");
            assert!(connection.is_usable());
            connection.encode_get("/");
            let half = connection.exchange().await;
            assert!(matches!(half, Err(HttpError::Io(_))), "{half:?}");
            assert!(!connection.is_usable());
        });
    }

    #[test]
    fn does_not_use_a_connection_again_over_which_too_much_came() {
        wait(async {
            let (address, _heard) = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n", 1).await;
            let mut connection = Connection::open(address, Duration::from_secs(5)).await.expect("somebody listens");
            connection.encode_get("/");
            assert_eq!(connection.exchange().await.expect("a response").status, 200);
            assert!(!connection.is_usable());
        });
    }
}
