// Score a row of numbers: cargo run -- model.onnx 5.1 3.5 1.4 0.2
// cargo add ort@2.0.0-rc.10
use ort::{session::Session, value::Tensor};

fn main() -> ort::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let mut session = Session::builder()?.commit_from_file(&arguments[1])?;
    let names: Vec<String> = session.inputs.iter().map(|input| input.name.clone()).collect();
    let mut inputs = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let cell = arguments.get(i + 2).and_then(|text| text.parse().ok()).unwrap_or(f32::NAN); // NaN: missing
        inputs.push((name.clone(), Tensor::from_array(([1_usize, 1], vec![cell]))?));
    }
    let answers = session.run(inputs)?;
    let (_, label) = answers["label"].try_extract_strings()?;
    let (_, probabilities) = answers["probabilities"].try_extract_tensor::<f32>()?;
    println!("{} {:?}", label[0], probabilities);
    Ok(())
}
