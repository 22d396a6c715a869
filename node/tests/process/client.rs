//! A client that knows the protocol only from PROTOCOL.md: it uses nothing of the crate, so a mistake on both ends would show.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use serde_json::{Value, json};

use crate::cluster::PATIENCE;

pub(crate) struct Client {
    socket: TcpStream,
    requests: u64,
}

impl Client {
    pub(crate) fn connect(port: u16) -> io::Result<Client> {
        let socket = TcpStream::connect((crate::cluster::host(), port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Ok(Client { socket, requests: 0 })
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Sends a text with its length in front.
    pub(crate) fn send_text(&mut self, text: &str) {
        let length = u32::try_from(text.len()).unwrap();
        self.send_bytes(&[&length.to_be_bytes(), text.as_bytes()].concat());
    }

    pub(crate) fn finish_sending(&mut self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// The next reply as it is on the wire, without the length.
    pub(crate) fn receive_text(&mut self) -> io::Result<String> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        self.socket.read_exact(&mut payload)?;
        Ok(String::from_utf8(payload).unwrap())
    }

    /// Whether the node closed the connection, with nothing more to say.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.socket.read(&mut [0; 1]), Ok(0) | Err(_))
    }

    fn ask(&mut self, body: &Value) -> io::Result<Value> {
        self.ask_with(json!({}), body)
    }

    /// Asks with more in the header.
    pub(crate) fn ask_with(&mut self, mut header: Value, body: &Value) -> io::Result<Value> {
        self.requests += 1;
        header["id"] = self.requests.into();
        let text = json!({"v": 1, "header": header, "body": body}).to_string();
        let length = u32::try_from(text.len()).unwrap();
        self.socket.write_all(&[&length.to_be_bytes(), text.as_bytes()].concat())?;
        let reply: Value = serde_json::from_str(&self.receive_text()?).unwrap();
        assert_eq!(reply["header"]["id"], self.requests);
        Ok(reply["body"].clone())
    }

    pub(crate) fn put(&mut self, key: &str, value: &str) -> Value {
        self.ask(&json!({"put": {"key": key, "value": value}})).unwrap()
    }

    pub(crate) fn get(&mut self, key: &str) -> Value {
        self.ask(&json!({"get": {"key": key}})).unwrap()
    }

    pub(crate) fn status(&mut self) -> io::Result<Value> {
        Ok(self.ask(&json!({"status": {}}))?["status"].clone())
    }
}
