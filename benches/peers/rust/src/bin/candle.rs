use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};

fn main() -> anyhow::Result<()> {
    let (dir, _) = peers::arguments();
    let config: Config =
        serde_json::from_str(&std::fs::read_to_string(format!("{dir}/config.json"))?)?;
    let files = [format!("{dir}/model.safetensors")];
    // SAFETY: the comparison does not change the file while this program runs.
    let weights = unsafe { VarBuilder::from_mmaped_safetensors(&files, DType::F32, &Device::Cpu)? };
    let model = BertModel::load(weights, &config)?;
    peers::serve(|batch| {
        let (ids, mask, longest) = peers::padded(batch);
        let run = || {
            let ids = Tensor::from_slice(&ids, (batch.len(), longest), &Device::Cpu)?;
            let mask = Tensor::from_slice(&mask, (batch.len(), longest), &Device::Cpu)?;
            let mask = batch
                .iter()
                .any(|text| text.len() < longest)
                .then_some(mask);
            let rows = model.forward(&ids, &ids.zeros_like()?, mask.as_ref())?;
            rows.flatten_all()?.narrow(0, 0, 4)?.to_vec1::<f32>()
        };
        run().expect("rows")
    });
    Ok(())
}
