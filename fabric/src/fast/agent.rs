//! Agents: the units that the wheel wakes, by number.
//!
//! A band of *n* PEs has 2 *n* agents for its PEs and one for each port of an edge stream: agent 2 *i*
//! is the router of PE *i*, agent 2 *i* + 1 its compute element, and agent 2 *n* + *k* is port *k*. So
//! the two agents of a PE share a word of the wheel, and PEs that are near each other in memory are
//! near each other in it.

/// Agent of a router, by its number in the band.
#[inline]
pub(crate) fn router_agent(pe: u32) -> u32 {
    2 * pe
}

/// Agent of a compute element.
#[inline]
pub(crate) fn ce_agent(pe: u32) -> u32 {
    2 * pe + 1
}
