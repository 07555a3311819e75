//! The proof that this processor has the level's instructions. Only the code of this file can make one.

/// Proof that this processor has NEON, and its products of bytes where that is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon<const DOTPROD: bool>(());

impl<const DOTPROD: bool> Neon<DOTPROD> {
    /// The token, if this processor has the instructions.
    pub(crate) fn new() -> Option<Self> {
        let has = std::arch::is_aarch64_feature_detected!("neon")
            && (!DOTPROD || std::arch::is_aarch64_feature_detected!("dotprod"));
        has.then_some(Self(()))
    }
}

impl Neon<true> {
    /// The level without products of bytes, which computes floats as this one does.
    pub(crate) fn without_dotprod(self) -> Neon<false> {
        Neon(())
    }
}
