//! WebSockets (RFC 6455) through the program: what is passed on, how they begin or do not, how they end.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod beginnings;
mod ends;
mod messages;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use crate::harness::{Balancer, DEADLINE, wait_until};
use crate::tunnel::{
    ASK, GRANT, asked, backend, echo, in_flight, in_front_of, read_exactly, read_until,
};

/// A frame, masked as clients do it if `mask` is set, by zeros so that its content can be read.
fn frame(first: u8, mask: bool, content: &[u8]) -> Vec<u8> {
    let bit = if mask { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match content.len() {
        length @ 0..=125 => bytes.push(bit | length as u8),
        length @ 126..=0xffff => {
            bytes.push(bit | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(bit | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    if mask {
        bytes.extend_from_slice(&[0; 4]);
    }
    bytes.extend_from_slice(content);
    bytes
}

fn close(mask: bool, code: u16, reason: &str) -> Vec<u8> {
    frame(
        0x88,
        mask,
        &[&code.to_be_bytes(), reason.as_bytes()].concat(),
    )
}

/// Sends these bytes and reads them back.
#[track_caller]
fn there_and_back(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    assert!(
        read_exactly(stream, bytes.len()) == bytes,
        "{} bytes",
        bytes.len()
    );
}

fn is_free(balancer: &Balancer) -> bool {
    in_flight(balancer) == 0.0
}
