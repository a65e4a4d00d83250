// Colours pixels beside the page, so that the page goes on.
import * as ort from "./ort.wasm.bundle.min.mjs";

// Its script is in the bundle.
ort.env.wasm.wasmPaths = { wasm: new URL("./ort-wasm-simd-threaded.wasm", import.meta.url).href };
ort.env.logLevel = "error";
// Threads need a page that is isolated from others, which a plain file server doesn't say.
if (!self.crossOriginIsolated) ort.env.wasm.numThreads = 1;

const session = ort.InferenceSession.create(new URL("./model.onnx", import.meta.url).href, {
  extra: { session: { disable_quant_qdq: "1" } },
});
session.then(
  () => postMessage({ ready: true }),
  (error) => postMessage({ error: String(error) }),
);

onmessage = async ({ data: { id, rgba, width, height, saturation } }) => {
  try {
    const rgb = new Uint8Array(width * height * 3);
    for (let from = 0, to = 0; from < rgba.length; from += 4) {
      rgb[to++] = rgba[from];
      rgb[to++] = rgba[from + 1];
      rgb[to++] = rgba[from + 2];
    }
    const { colored } = await (await session).run({
      picture: new ort.Tensor("uint8", rgb, [height, width, 3]),
      saturation: new ort.Tensor("float32", [saturation], [1]),
    });
    const out = new Uint8ClampedArray(rgba);
    for (let from = 0, to = 0; to < out.length; to += 4) {
      out[to] = colored.data[from++];
      out[to + 1] = colored.data[from++];
      out[to + 2] = colored.data[from++];
    }
    postMessage({ id, rgba: out }, [out.buffer]);
  } catch (error) {
    postMessage({ id, error: String(error) });
  }
};
