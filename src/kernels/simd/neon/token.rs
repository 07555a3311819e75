//! Token of the level: proof that this processor has its instructions. Only this file can make one.

/// Proof that this processor has NEON, and the dot-product extension if `DOTPROD`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon<const DOTPROD: bool>(());

impl<const DOTPROD: bool> Neon<DOTPROD> {
    /// Returns the token if this processor has the instructions.
    pub(crate) fn new() -> Option<Self> {
        let has = std::arch::is_aarch64_feature_detected!("neon")
            && (!DOTPROD || std::arch::is_aarch64_feature_detected!("dotprod"));
        has.then_some(Self(()))
    }
}

impl Neon<true> {
    /// Returns the token of the level without dot products, which computes f32 in the same way.
    pub(crate) fn without_dotprod(self) -> Neon<false> {
        Neon(())
    }
}
