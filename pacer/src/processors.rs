//! How many processors count as a program's.

/// A quota counts as so many processors at the least, be it of half a one: Go says that it does, not why.
pub const LEAST_OF_QUOTA: u32 = 2;

/// Of `allowed` processors, those that a quota of `quota_us` microseconds of processor time in each `period_us` is worth:
/// rounded up, and [two](LEAST_OF_QUOTA) at the least, but never more than are allowed. A period of 0 is no quota.
///
/// Go: `adjustCgroupGOMAXPROCS` in `cgroup_linux.go`.
pub const fn within_quota(allowed: u32, quota_us: u64, period_us: u64) -> u32 {
    if period_us == 0 {
        return allowed;
    }
    let worth = quota_us.div_ceil(period_us);
    if worth >= allowed as u64 {
        allowed
    } else if worth > LEAST_OF_QUOTA as u64 {
        worth as u32
    } else if allowed < LEAST_OF_QUOTA {
        allowed
    } else {
        LEAST_OF_QUOTA
    }
}
