//! The frames of a websocket, as its client sends and reads them (RFC 6455, section 5). By hand: what
//! libraries bring along for it would change the features of what the sandbox is built from.

use bytes::{Buf as _, BytesMut};

use crate::limits;

/// What a frame is, of those that exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    const fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Why the other side's bytes are no frame for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FrameError {
    /// Against the protocol.
    Protocol,
    /// A message of more than [`limits::SOCKET_MESSAGE_BYTES_MAX`].
    TooLarge,
}

/// A message that has come in whole, or a control frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Incoming {
    pub(super) opcode: Opcode,
    pub(super) payload: Vec<u8>,
}

/// Appends one unfragmented frame, masked as a client has to.
pub(super) fn write(out: &mut BytesMut, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    const FINAL: u8 = 0x80;
    const MASKED: u8 = 0x80;
    out.reserve(payload.len() + 14);
    out.extend_from_slice(&[FINAL | opcode.bits()]);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => out.extend_from_slice(&[MASKED | short]),
        (_, Ok(medium)) => {
            out.extend_from_slice(&[MASKED | 126]);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            let long = u64::try_from(payload.len()).unwrap_or(u64::MAX);
            out.extend_from_slice(&[MASKED | 127]);
            out.extend_from_slice(&long.to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Puts messages together from the bytes that come in.
#[derive(Default)]
pub(super) struct Assembler {
    /// What was read and is no whole frame yet.
    pub(super) buffer: BytesMut,
    /// The message whose last fragment has not come.
    partial: Option<Incoming>,
}

/// The head of a frame.
struct Head {
    is_final: bool,
    opcode: Opcode,
    head_bytes: usize,
    payload_bytes: usize,
}

impl Assembler {
    /// The next message or control frame in the buffer. None: more has to be read.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, FrameError> {
        loop {
            let Some(head) = head(&self.buffer)? else { return Ok(None) };
            let so_far = self.partial.as_ref().map_or(0, |partial| partial.payload.len());
            if so_far + head.payload_bytes > limits::SOCKET_MESSAGE_BYTES_MAX {
                return Err(FrameError::TooLarge);
            }
            if self.buffer.len() < head.head_bytes + head.payload_bytes {
                return Ok(None);
            }
            self.buffer.advance(head.head_bytes);
            let payload = self.buffer.split_to(head.payload_bytes);
            if head.opcode.is_control() {
                return Ok(Some(Incoming { opcode: head.opcode, payload: payload.to_vec() }));
            }
            let message = match (head.opcode, self.partial.take()) {
                (Opcode::Continuation, Some(mut partial)) => {
                    partial.payload.extend_from_slice(&payload);
                    partial
                }
                (Opcode::Continuation, None) | (_, Some(_)) => return Err(FrameError::Protocol),
                (opcode, None) => Incoming { opcode, payload: payload.to_vec() },
            };
            if head.is_final {
                return Ok(Some(message));
            }
            self.partial = Some(message);
        }
    }
}

fn head(bytes: &[u8]) -> Result<Option<Head>, FrameError> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    // Extensions were not agreed on, and a server does not mask.
    if first & 0x70 != 0 || second & 0x80 != 0 {
        return Err(FrameError::Protocol);
    }
    let opcode = Opcode::of(first & 0x0f).ok_or(FrameError::Protocol)?;
    let is_final = first & 0x80 != 0;
    let (head_bytes, length) = match second & 0x7f {
        126 => match rest {
            [a, b, ..] => (4, u64::from(u16::from_be_bytes([*a, *b]))),
            _ => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(long) => (10, u64::from_be_bytes(*long)),
            None => return Ok(None),
        },
        short => (2, u64::from(short)),
    };
    if opcode.is_control() && (!is_final || length > 125) {
        return Err(FrameError::Protocol);
    }
    let payload_bytes = usize::try_from(length).map_err(|_| FrameError::TooLarge)?;
    Ok(Some(Head { is_final, opcode, head_bytes, payload_bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Incoming>, FrameError> {
        let mut assembler = Assembler::default();
        assembler.buffer.extend_from_slice(bytes);
        assembler.next()
    }

    fn text(payload: &[u8]) -> Incoming {
        Incoming { opcode: Opcode::Text, payload: payload.to_vec() }
    }

    #[test]
    fn frames_are_those_of_rfc_6455() {
        // Section 5.7.
        let mut out = BytesMut::new();
        write(&mut out, Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(out, masked.as_slice());
        assert_eq!(read(b"\x81\x05Hello"), Ok(Some(text(b"Hello"))));
        assert_eq!(read(b"\x01\x03Hel\x80\x02lo"), Ok(Some(text(b"Hello"))));
        let ping = Incoming { opcode: Opcode::Ping, payload: b"Hello".to_vec() };
        assert_eq!(read(b"\x89\x05Hello"), Ok(Some(ping)));
    }

    #[test]
    fn every_length_is_written_and_read() {
        for bytes in [0, 125, 126, 65_535, 65_536, limits::SOCKET_MESSAGE_BYTES_MAX] {
            let payload = vec![b'x'; bytes];
            let mut out = BytesMut::new();
            write(&mut out, Opcode::Text, &payload, [0; 4]);
            // As a server would write it: without the mask.
            let mask_at = out.len() - bytes - 4;
            let mut plain = out[..mask_at].to_vec();
            plain[1] &= 0x7f;
            plain.extend_from_slice(&payload);
            assert_eq!(read(&plain[..plain.len() - 1]), Ok(None), "{bytes}");
            assert_eq!(read(&plain), Ok(Some(text(&payload))), "{bytes}");
        }
    }

    #[test]
    fn a_control_frame_may_stand_between_two_fragments() {
        let mut assembler = Assembler::default();
        assembler.buffer.extend_from_slice(b"\x01\x03Hel\x89\x00\x80\x02lo");
        assert_eq!(assembler.next().unwrap().unwrap().opcode, Opcode::Ping);
        assert_eq!(assembler.next(), Ok(Some(text(b"Hello"))));
    }

    #[test]
    fn what_is_against_the_protocol_or_too_large_is_refused() {
        assert_eq!(read(b"\x81\x85\0\0\0\0Hello"), Err(FrameError::Protocol), "masked");
        assert_eq!(read(b"\xc1\x00"), Err(FrameError::Protocol), "compressed");
        assert_eq!(read(b"\x83\x00"), Err(FrameError::Protocol), "an unknown opcode");
        assert_eq!(read(b"\x80\x00"), Err(FrameError::Protocol), "nothing to continue");
        assert_eq!(read(b"\x01\x00\x01\x00"), Err(FrameError::Protocol), "not continued");
        assert_eq!(read(b"\x09\x00"), Err(FrameError::Protocol), "a fragmented ping");
        assert_eq!(read(b"\x81\x7f\0\0\0\0\xff\xff\xff\xff"), Err(FrameError::TooLarge));
    }
}
