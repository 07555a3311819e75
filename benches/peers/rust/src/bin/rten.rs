use rten::Model;
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

fn main() -> anyhow::Result<()> {
    let (dir, _) = peers::arguments();
    let model =
        Model::load_file(format!("{dir}.onnx")).map_err(|error| anyhow::anyhow!("{error}"))?;
    let [ids, mask, types, out] = [
        "input_ids",
        "attention_mask",
        "token_type_ids",
        "last_hidden_state",
    ]
    .map(|name| model.node_id(name).expect("a node"));
    peers::serve(|batch| {
        let (numbers, masks, longest) = peers::padded(batch);
        let tensor = |numbers: Vec<i64>| {
            let numbers: Vec<i32> = numbers.into_iter().map(|number| number as i32).collect();
            NdTensor::from_data([batch.len(), longest], numbers)
        };
        let zeros = tensor(vec![0; numbers.len()]);
        let (numbers, masks) = (tensor(numbers), tensor(masks));
        let inputs = vec![
            (ids, numbers.view().into()),
            (mask, masks.view().into()),
            (types, zeros.view().into()),
        ];
        let [rows] = model.run_n(inputs, [out], None).expect("rows");
        let rows: NdTensor<f32, 3> = rows.try_into().expect("a tensor of three dimensions");
        (0..4).map(|at| rows[[0, 0, at]]).collect()
    });
    Ok(())
}
