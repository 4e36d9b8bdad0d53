//! How the work of a copy is divided: workers, requests, stripes.

use super::branch::Branch;
use crate::digest::ordered;
use crate::endpoint::Origin;
use crate::engine::Selection;
use crate::error::Result;
use crate::io::page_cache::CacheState;
use crate::options::Options;
use crate::plan;
use crate::pool::Threads;
use crate::pool::controller::Workers;

/// How the work is divided.
pub struct Sizes {
    pub workers: Workers,
    pub request: u64,
    pub stripe: u64,
}

/// How many workers move `bytes` in requests and stripes of what length.
pub fn sizes(
    selection: &Selection,
    origin: &dyn Origin,
    branches: &[Branch],
    bytes: u64,
    options: &Options,
) -> Result<Sizes> {
    let about = selection.capabilities();
    let pace = about.source.pace.or(about.destination.pace);
    let best = pace.map_or(selection.io_size(), |pace| pace.request);
    let request = options.request_size(origin.sector(), best)?;
    let is_ordered = branches.iter().any(|branch| branch.abilities.ordered);
    let takes_turns = is_ordered || origin.read_order().stream().is_some();
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
    let workers = workers.bounded(options.request_memory(request));
    let stripe = match options.stripe_size(origin.sector())? {
        _ if takes_turns => request,
        Some(bytes) => bytes,
        // A worker that waits for the turn of its stripe holds one request, not many.
        None if ordered(&options.wanted_digests()) => request,
        // Far away, half a request takes as long as a whole one.
        None if pace.is_some() => plan::stripe_size(bytes, workers.most(), request).max(request),
        None => plan::stripe_size(bytes, workers.most(), request),
    };
    Ok(Sizes { workers, request, stripe })
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
