//! The codec of our services: prost with small buffers. The default codec allocates 8 KiB for each
//! direction of each call, and twice that if responses may be compressed. Ten thousand idle streams
//! would hold a hundred megabytes of buffers; an event takes half a kilobyte.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

/// The initial size of a call's buffer in each direction, bytes; it grows for larger messages.
const BUFFER_BYTES: usize = 512;
/// Bytes of messages that are collected before they are sent (tonic's default).
const YIELD_BYTES: usize = 32 * 1_024;

/// Encodes `T` and decodes `U`.
#[derive(Clone, Copy, Debug)]
pub struct LeanCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for LeanCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for LeanCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }
}
