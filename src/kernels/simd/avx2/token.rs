//! The proof that this processor has the level's instructions. Only the code of this file can make one.

/// Proof that this processor has AVX2 and FMA, and AVX-VNNI where that is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2<const VNNI: bool>(());

impl<const VNNI: bool> Avx2<VNNI> {
    /// The token, if this processor has the instructions.
    pub(crate) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && (!VNNI || is_x86_feature_detected!("avxvnni"));
        has.then_some(Self(()))
    }
}

impl Avx2<true> {
    /// The level without VNNI, which computes floats as this one does.
    pub(crate) fn without_vnni(self) -> Avx2<false> {
        Avx2(())
    }
}
