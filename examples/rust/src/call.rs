use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use serde_json::{Value, json};

use crate::Failure;

pub struct Server {
    socket: UnixStream,
    /// Received and not looked at yet.
    pending: Vec<u8>,
}

impl Server {
    pub fn connect(path: &str) -> Result<Self, Failure> {
        Ok(Self { socket: UnixStream::connect(path)?, pending: Vec::new() })
    }

    /// Makes a call that may be answered in several messages. Returns the parameters of the last one, and the descriptors of
    /// all in order.
    pub fn call(&mut self, method: &str, parameters: Value) -> Result<(Value, Vec<OwnedFd>), Failure> {
        let mut message = json!({ "method": method, "parameters": parameters, "more": true }).to_string().into_bytes();
        message.push(0);
        self.socket.write_all(&message)?;
        let mut descriptors = Vec::new();
        loop {
            let Some(end) = self.pending.iter().position(|&byte| byte == 0) else {
                self.receive(&mut descriptors)?;
                continue;
            };
            let mut reply: Value = serde_json::from_slice(&self.pending[..end])?;
            self.pending.drain(..=end);
            let parameters = reply["parameters"].take();
            if let Some(error) = reply["error"].as_str() {
                return Err(format!("{method}: {error} {parameters}").into());
            }
            if reply["continues"] != true {
                return Ok((parameters, descriptors));
            }
        }
    }

    fn receive(&mut self, descriptors: &mut Vec<OwnedFd>) -> Result<(), Failure> {
        // The kernel passes no more than 253 descriptors at a time, and drops what has no room.
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = vec![0; 1 << 16];
        let received = recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                descriptors.extend(passed);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err("descriptors were lost".into());
        }
        if received.bytes == 0 {
            return Err("the server closed the connection".into());
        }
        self.pending.extend_from_slice(&bytes[..received.bytes]);
        Ok(())
    }
}
