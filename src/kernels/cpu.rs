//! Levels: which instruction sets this processor has, and how a kernel runs on them.

use std::fmt;

#[cfg(target_arch = "aarch64")]
use super::simd::neon::Neon;
use super::simd::{Kernel, Simd, portable::Portable};
#[cfg(target_arch = "x86_64")]
use super::simd::{avx2::Avx2, avx512::Avx512};

/// Instruction set (level) that this processor is known to have.
///
/// Values come only from [`Cpu::detect`], [`Cpu::supported`] and [`Cpu::from_name`], which query the processor.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    name: &'static str,
    level: Level,
}

/// Token of each level. It carries the level's vector operations and proves that the processor has them.
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

/// Names of all levels, best first, as [`Cpu::from_name`] takes them.
///
/// A level with instructions for int8 products computes f32 like the level below it. The level with instructions for
/// bf16 products computes f32 and int8 like those below it.
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
    /// Returns the best level of this processor.
    pub(crate) fn detect() -> Self {
        let found = NAMES.iter().find_map(|name| Self::from_name(name));
        found.unwrap_or(Self {
            name: "portable",
            level: Level::Portable(Portable),
        })
    }

    /// Returns all levels of this processor, best first, for test suites that run on each.
    #[cfg(test)]
    pub(crate) fn supported() -> Vec<Self> {
        let all = NAMES.iter();
        all.filter_map(|name| Self::from_name(name)).collect()
    }

    /// Returns the level of this name; `None` if this processor does not have it or there is none.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        // The standard library queries the processor once and caches the answer.
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

    /// Returns the name of this level.
    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    /// Runs a kernel of f32, compiled for this level. Levels that differ only in int8 or bf16 products share a copy.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.level {
            Level::Portable(token) => token.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(token) => token.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2Vnni(token) => token.without_vnni().vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(token) => token.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni(token) => token.without_vnni().vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16(token) => token.without_vnni().vectorize(kernel),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(token) => token.vectorize(kernel),
            #[cfg(target_arch = "aarch64")]
            Level::NeonDotprod(token) => token.without_dotprod().vectorize(kernel),
        }
    }

    /// Runs a kernel that multiplies int8 or i16, compiled for this level.
    #[inline]
    pub(crate) fn run_int8<K: Kernel>(self, kernel: K) -> K::Output {
        match self.level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2Vnni(token) => token.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni(token) => token.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16(token) => token.without_bf16().vectorize(kernel),
            #[cfg(target_arch = "aarch64")]
            Level::NeonDotprod(token) => token.vectorize(kernel),
            _ => self.run(kernel),
        }
    }

    /// Runs a kernel that multiplies bf16, compiled for this level.
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
