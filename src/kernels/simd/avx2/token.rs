//! Token of the level: proof that this processor has its instructions. Only this file can make one.

/// Proof that this processor has AVX2 and FMA, and AVX-VNNI if `VNNI`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2<const VNNI: bool>(());

impl<const VNNI: bool> Avx2<VNNI> {
    /// Returns the token if this processor has the instructions.
    pub(crate) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && (!VNNI || is_x86_feature_detected!("avxvnni"));
        has.then_some(Self(()))
    }
}

impl Avx2<true> {
    /// Returns the token of the level without VNNI, which computes f32 in the same way.
    pub(crate) fn without_vnni(self) -> Avx2<false> {
        Avx2(())
    }
}
