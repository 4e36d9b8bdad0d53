//! How much memory this process may still have.

/// Bytes of address space that this process may still take, where it is
/// limited (`ulimit -v`): a thread or a buffer beyond that is not to be had.
#[cfg(target_os = "linux")]
pub fn address_space_left() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::As).current?;
    // Pages; the first number is the size of the address space, see proc(5).
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().next()?.parse().ok()?;
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    Some(limit.saturating_sub(pages.saturating_mul(page)))
}

/// Not known here: what cannot be had is met where it is asked for.
#[cfg(not(target_os = "linux"))]
pub fn address_space_left() -> Option<u64> {
    None
}
