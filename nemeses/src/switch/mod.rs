//! tmp
mod engine;
mod flows;
mod held;
mod jitter;
mod line;
mod log;
mod packet;
mod pcap;
mod segments;
mod table;
pub mod tun;
