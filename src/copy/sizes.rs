//! How the work of a copy is divided: workers, requests, stripes.

use super::branch::Branch;
use crate::digest::{Algorithm, ordered};
use crate::endpoint::Origin;
use crate::engine::Selection;
use crate::error::Result;
use crate::io::page_cache::{CacheState, LARGE};
use crate::options::Options;
use crate::plan;
use crate::pool::Threads;
use crate::pool::controller::Workers;

/// What a worker reads of a stream in one turn, at most, unless told otherwise. It
/// stays in the cache of the processor until it is written. Measured with 1 GiB out
/// of `cat` (scenario S14): 64 KiB take 1.1 times as long and 256 KiB too.
const TURN: u64 = 128 << 10;

/// What a worker has in memory of a request to a server: this part of it, but not
/// less and not more than so many bytes. They stay in the cache of the processor until
/// they are written, and the others wait no longer than that for the lock of the file.
const PIECES: u64 = 16;
const SHORTEST_PIECE: u64 = 4 << 10;
const LONGEST_PIECE: u64 = 256 << 10;

/// The longest request into memory of the caller: nothing of it passes through a
/// buffer that had to fit into the cache of a processor, and each one is a call.
const INTO_MEMORY: u64 = 4 << 20;

/// Into how many requests of that kind all bytes are cut at least, so that workers
/// end at about the same time.
const LEAST_REQUESTS: u64 = 64;

/// What requests may grow to where each of them takes long. Measured on a file that
/// answers after 20 ms: longer ones bring nothing more.
const GROWN: u64 = 1 << 20;

/// How the work is divided.
pub struct Sizes {
    pub workers: Workers,
    pub request: u64,
    /// See [`Control::buffer_size`](crate::pool::Control::buffer_size).
    pub buffer: u64,
    pub stripe: u64,
}

/// How many workers move `bytes` in requests and stripes of what length.
pub fn sizes(
    selection: &Selection,
    origin: &dyn Origin,
    branches: &[Branch],
    bytes: u64,
    digests: &[Algorithm],
    options: &Options,
) -> Result<Sizes> {
    let about = selection.capabilities();
    let pace = match (about.source.pace, about.destination.pace) {
        (Some(one), Some(other)) => Some(one.beside(other)),
        (one, other) => one.or(other),
    };
    let is_stream = origin.read_order().stream().is_some();
    let is_wanted_once = matches!(branches, [one] if one.abilities.in_memory)
        && about.cache_state == CacheState::Warm
        && options.wanted_digests().is_empty();
    let local = match selection.io_size() {
        turn if is_stream => turn.min(TURN),
        // Nobody looks at the bytes again while they are in a cache.
        least if is_wanted_once => least.max(into_memory(bytes)),
        best => best,
    };
    let best = pace.map_or(local, |pace| pace.request);
    let request = options.request_size(origin.sector(), best)?;
    let is_ordered = branches.iter().any(|branch| branch.abilities.ordered);
    let takes_turns = is_ordered || is_stream;
    let written = match branches {
        [_] => vec![about.destination.rotational],
        _ => {
            branches.iter().filter_map(|b| Some(b.destination.as_ref()?.end().rotational)).collect()
        }
    };
    let rotational = written.into_iter().chain([about.source.rotational]);
    let cache_state = about.cache_state;
    let workers = match pace {
        Some(pace) => options.threads.far_away(pace.start, pace.most),
        None => options.threads.choose(rotational, cache_state),
    };
    let workers = match is_ordered {
        true => workers_of_stream(workers, options.threads, cache_state),
        false => workers,
    };
    // A worker that waits for its turn has read its whole request, and so has the next one.
    let waits = is_stream || is_ordered || ordered(digests);
    let comes_in_pieces = about.source.pace.is_some() && about.destination.pace.is_none();
    let piece = (request / PIECES).clamp(SHORTEST_PIECE, LONGEST_PIECE).min(request);
    let buffer = if comes_in_pieces && !waits { piece } else { request };
    let workers = workers.bounded(options.request_memory(buffer));
    let grown = buffer.max(GROWN);
    let grows = options.io_size.is_none()
        && pace.is_none()
        && !waits
        && bytes >= LARGE
        && cache_state != CacheState::Warm
        && !matches!(workers, Workers::Exactly(_))
        && workers.bounded(options.request_memory(grown)) == workers;
    let buffer = if grows { grown } else { buffer };
    let stripe = match options.stripe_size(origin.sector())? {
        _ if takes_turns => request,
        Some(bytes) => bytes,
        // A worker that waits for the turn of its stripe holds one request, not many.
        None if ordered(digests) => request,
        None => {
            let share = plan::stripe_size(bytes, workers.most(), request);
            // Far away, half a request takes as long as a whole one.
            pace.map_or(share, |pace| share.max(pace.piece).max(request))
        }
    };
    Ok(Sizes { workers, request, buffer, stripe })
}

/// Length of the requests for `bytes` that go straight into memory: a power of two.
fn into_memory(bytes: u64) -> u64 {
    let share = (bytes / LEAST_REQUESTS).clamp(1, INTO_MEMORY);
    1 << share.ilog2()
}

fn workers_of_stream(workers: Workers, asked: Threads, cache_state: CacheState) -> Workers {
    match workers {
        Workers::UpTo(most) if cache_state == CacheState::Warm => {
            // Nobody waits for a device, and whatever reads the stream needs a processor.
            Workers::UpTo((most - 1).max(1))
        }
        // One reads ahead while the other writes, without moving heads to and fro.
        Workers::Exactly(_) if asked == Threads::Auto => Workers::Exactly(2),
        workers => workers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_into_memory_grow_with_what_is_read() {
        let sizes = [0, 1, 63, 64, 1 << 20, 100 << 20, 256 << 20, 1 << 40].map(into_memory);
        assert_eq!(sizes, [1, 1, 1, 1, 16 << 10, 1 << 20, 4 << 20, 4 << 20]);
    }
}
