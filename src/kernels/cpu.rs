//! Which instructions this processor has, and how a kernel is run on them.

use std::fmt;

#[cfg(target_arch = "aarch64")]
use super::simd::neon::Neon;
use super::simd::{Kernel, Simd, portable::Portable};
#[cfg(target_arch = "x86_64")]
use super::simd::{avx2::Avx2, avx512::Avx512};

/// A set of instructions that this processor is known to have.
///
/// A value can only come from [`Cpu::detect`], [`Cpu::supported`] or [`Cpu::from_name`], which ask the processor.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    name: &'static str,
    level: Level,
}

/// The vectors of a level, with its token where there is one.
#[derive(Clone, Copy)]
enum Level {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2<false>),
    #[cfg(target_arch = "x86_64")]
    Avx2Vnni(Avx2<true>),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512<false>),
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Avx512<true>),
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(Avx512<true, true>),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon<false>),
    #[cfg(target_arch = "aarch64")]
    NeonDotprod(Neon<true>),
}

/// Every level's name, best first; the names that [`Cpu::from_name`] takes.
///
/// The levels with instructions for 8-bit products compute floats as the ones below them do, the one with products of
/// bf16 floats and bytes.
pub(crate) const NAMES: [&str; 8] = [
    "avx512-bf16",
    "avx512-vnni",
    "avx512",
    "avx2-vnni",
    "avx2",
    "neon-dotprod",
    "neon",
    "portable",
];

impl Cpu {
    /// The best that this processor has.
    pub(crate) fn detect() -> Self {
        let found = NAMES.iter().find_map(|name| Self::from_name(name));
        found.unwrap_or(Self {
            name: "portable",
            level: Level::Portable(Portable),
        })
    }

    /// All that this processor has, best first; for suites that run on each.
    #[cfg(test)]
    pub(crate) fn supported() -> Vec<Self> {
        let all = NAMES.iter();
        all.filter_map(|name| Self::from_name(name)).collect()
    }

    /// The level of this name, if this processor has it.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        // The standard library asks the processor once and remembers.
        let level = match name {
            "portable" => Level::Portable(Portable),
            #[cfg(target_arch = "x86_64")]
            "avx512-bf16" => Level::Avx512Bf16(Avx512::new()?),
            #[cfg(target_arch = "x86_64")]
            "avx512-vnni" => Level::Avx512Vnni(Avx512::new()?),
            #[cfg(target_arch = "x86_64")]
            "avx512" => Level::Avx512(Avx512::new()?),
            #[cfg(target_arch = "x86_64")]
            "avx2-vnni" => Level::Avx2Vnni(Avx2::new()?),
            #[cfg(target_arch = "x86_64")]
            "avx2" => Level::Avx2(Avx2::new()?),
            #[cfg(target_arch = "aarch64")]
            "neon-dotprod" => Level::NeonDotprod(Neon::new()?),
            #[cfg(target_arch = "aarch64")]
            "neon" => Level::Neon(Neon::new()?),
            _ => return None,
        };
        let name = NAMES.into_iter().find(|&known| known == name)?;
        Some(Self { name, level })
    }

    /// The name of this level.
    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    /// Runs a kernel of floats, compiled for this level. The levels that differ in other products share a copy.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.level {
            Level::Portable(token) => token.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(token) => token.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2Vnni(token) => token.floats().vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(token) => token.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni(token) => token.floats().vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16(token) => token.floats().vectorize(kernel),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(token) => token.vectorize(kernel),
            #[cfg(target_arch = "aarch64")]
            Level::NeonDotprod(token) => token.floats().vectorize(kernel),
        }
    }

    /// Runs a kernel that multiplies bytes, compiled for this level.
    #[inline]
    pub(crate) fn run_int8<K: Kernel>(self, kernel: K) -> K::Output {
        match self.level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2Vnni(token) => token.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni(token) => token.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16(token) => token.bytes().vectorize(kernel),
            #[cfg(target_arch = "aarch64")]
            Level::NeonDotprod(token) => token.vectorize(kernel),
            _ => self.run(kernel),
        }
    }

    /// Runs a kernel that multiplies numbers in bf16, compiled for this level.
    #[inline]
    pub(crate) fn run_bf16<K: Kernel>(self, kernel: K) -> K::Output {
        match self.level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16(token) => token.vectorize(kernel),
            _ => self.run(kernel),
        }
    }
}

impl PartialEq for Cpu {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_level_comes_first_and_portable_is_always_there() {
        let supported = Cpu::supported();
        assert_eq!(supported.first(), Some(&Cpu::detect()));
        assert_eq!(supported.last().map(|cpu| cpu.name()), Some("portable"));
    }

    #[test]
    fn names_find_their_levels() {
        for cpu in Cpu::supported() {
            assert_eq!(Cpu::from_name(cpu.name()), Some(cpu));
        }
        assert_eq!(Cpu::from_name("mmx"), None);
    }
}
