"""Says what a file's content is: ONNX Runtime behind FastAPI."""

from pathlib import Path

from content_type import ContentType
from fastapi import FastAPI, Request

model = ContentType(Path("/models/content-type"))
app = FastAPI()


@app.get("/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}  # the model was loaded before the port opened


@app.post("/classify")
async def classify(request: Request) -> dict[str, str | float]:
    label, score = model.identify(await request.body())
    return {"label": label, "score": round(score, 4)}
