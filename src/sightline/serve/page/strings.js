// All words of the page, in every language that it speaks. {0}, {1} … are filled in.

const en = {
  "nav.page": "the page", "language.choice": "Language", "dark": "Dark", "light": "Light", "dark.colours": "dark colours", "light.colours": "light colours",
  "link.copy": "Copy link", "link.copied": "Link copied.", "ask": "what is asked", "model": "Model", "compare.with": "Compare with", "none": "none",
  "options": "Options", "stop": "Stop", "stopped": "Stopped.", "working": "…", "not.served": "The link names {0}, which is not served here.",
  "run.translation": "Translate", "run.continuation": "Write", "run.blanks": "Fill in", "run.labels": "Label", "run.spans": "Find", "run.answer": "Answer", "run.text": "Run",
  "type.here": "Type here", "as.the.run": "as trained", "too.long": "At most {0} characters are read at once.", "range": "From {0} to {1}.",
  "blank": "Nothing to read yet: type a text, or take an example.", "example": "example", "example.image": "a handwritten seven", "image.yours": "the image that is read",
  "empty.output": "What the model says comes here. For example:", "empty.panel": "There is nothing to look at yet.", "nothing.written": "The model wrote nothing.",
  "output.of": "what {0} says", "look.inside": "look inside {0}", "parameters": "{0} parameters",
  "copy": "Copy", "copied": "Copied", "forced": "chosen by you", "space": "space", "tokens.label": "tokens; darker where the model was less sure",
  "confidence": "confidence", "confidence.means": "How probable it is that this text reaches a chrF2 of {0} against a reference, as fitted to the validation set.", "mean.probability": "probability of a token, on average", "seconds": "{0} s", "cut": "cut at the length limit", "prompt.cut": "the beginning of the prompt did not fit and was not read",
  "alternatives": "What else might stand here:", "sentence.look": "look inside this sentence",
  "put.mask": "Put [MASK] where something is missing.", "blank.number": "Blank {0}", "no.spans": "Nothing was found.", "no.answer": "The text does not say.", "probability": "probability {0}",
  "tab.attention": "Attention", "tab.heads": "Heads", "tab.inside": "Inside", "tab.steps": "Step by step", "tab.mattered": "What mattered", "tab.save": "Save",
  "attention": "attention", "head": "head", "heads": "heads", "all.heads": "mean of all heads", "one.head": "one head", "head.number": "head {0}", "whole.words": "whole words",
  "view": "view", "ribbon": "Lines", "matrix": "Matrix", "scale": "scale", "absolute": "0 to 1", "relative": "to the largest", "checkpoint": "training checkpoint",
  "training": "Training", "as.trained": "as trained", "after.updates": "after {0} updates", "too.large": "Too large to draw here; save it as JSON.",
  "ribbon.above": "what is looked at", "ribbon.below": "what looks", "looks.at": "looks at", "not.taken": "always stays",
  "image.veil": "the image; brighter where it was looked at", "veil.rollout": "Attention rolled out through all layers.", "veil.row": "One row of the matrix.",
  "legend.attention": "attention", "legend.patch": "attention to a patch", "legend.unsure": "shade: how unsure", "legend.masked": "may not be looked at", "legend.partly": "a part of the word may be",
  "legend.open": "may be looked at", "legend.state": "state of a unit", "legend.position": "what is added", "legend.lens": "probability", "legend.vector": "a unit of the vector", "legend.occlusion": "lost without it",
  "ordered.by": "ordered by", "measure.effect": "effect", "measure.entropy": "entropy", "measure.distance": "distance", "measure.diagonality": "diagonality",
  "heads.about": "First the heads without which most is lost. Effect: how many {0} the outputs lose together without the head. Choose one to look at it.",
  "heads.without": "Entropy: how spread out a head's attention is, in nats. Choose one to look at it.", "of.the.output": "units of the output", "heads.table": "All measures as a table",
  "chart.keys": "Arrow keys read the numbers.", "logarithmic": "logarithmic", "layer": "layer", "where": "where", "usual.place": "where it writes",
  "inside.nothing": "There is nothing else inside of this model to draw.",
  "inside.gates": "Gates", "inside.gates.about": "How far each gate is open over the text, the mean over its units: 1 lets everything through, 0 nothing.",
  "inside.belt": "The cell as a conveyor belt", "inside.belt.about": "What is kept on it, what is put on it, and how much lies on it, word by word.",
  "inside.states": "Hidden state", "inside.states.about": "How large the state is, and how much of it is saturated, which learns no more.",
  "inside.gradients": "Gradients", "inside.gradients.about": "How much the output depends on each input: where the curve falls to nothing, the model has forgotten.",
  "inside.positions": "Positions", "inside.positions.about": "What is added to an embedding at each position, and how alike positions are by their distance.",
  "inside.masks": "Mask", "inside.masks.about": "What may be looked at at all.",
  "inside.residual": "Residual stream", "inside.residual.about": "How long the vectors are before the first block and after every one.",
  "inside.norms": "Norms", "inside.norms.about": "How far the features spread that each norm divides by.",
  "inside.lens": "Logit lens", "inside.lens.about": "What each layer would say, if it were the last.",
  "states.units": "{0} of {1} units over the text", "positions.table": "positions down, {0} of {1} dimensions across", "positions.product": "mean dot product", "positions.along": "by the distance of two positions",
  "steps": "steps", "step": "step", "step.before": "one step back", "step.after": "one step on", "play": "Play", "pause": "Pause", "step.of": "step {0} of {1}", "step.number": "step {0}",
  "steps.about": "One token after the other, through {0}. Arrow keys go from step to step.",
  "steps.fixed": "This model attends to nothing: all it knows of the text has to fit into one fixed vector, so there is no attention to see. That vector is the same at every step.",
  "steps.state": "This model attends to nothing: all it knows of what it has read is in its state, which every step changes.",
  "step.looked": "Where it looked", "energy": "energy", "rods.energies": "Under each bar its weight, and the energy that the softmax was taken of.",
  "rods.weights": "Under each bar its weight. Choose one head above, under Attention, to see energies, too.",
  "vector.context": "Context", "vector.context.about": "The weighted sum of what was looked at, {0} of {1} units.", "vector.state": "State", "vector.state.about": "The decoder's hidden state, {0} of {1} units.",
  "vector.bottleneck": "The one vector", "vector.bottleneck.about": "All that the decoder gets of the text, {0} of {1} units: it stays the same.",
  "step.likeliest": "The likeliest here", "likeliest.about": "Choose one to go on from there.", "go.on": "go on from here", "likeliest.only": "What was likeliest when the text was read again.",
  "mattered": "What mattered", "mattered.nothing": "Nothing is predicted in this text.", "mattered.about": "Beside attention stands how much less likely the output becomes when a position is {0}. What was looked at need not be what the output depends on.",
  "taken.taken out": "taken out", "taken.masked": "masked", "taken.greyed": "greyed", "output": "output", "occlusion": "lost without it", "mattered.all": "All outputs as a matrix",
  "agreement.well": "Attention agrees well with what mattered: rank correlation {0}.", "agreement.partly": "Attention agrees in part with what mattered: rank correlation {0}.",
  "agreement.little": "Attention agrees little with what mattered here: rank correlation {0}.", "agreement.against": "Attention looks elsewhere than at what mattered here: rank correlation {0}.",
  "agreement.none": "This attention cannot be compared with what mattered.", "agreement.no.attention": "There is no attention to compare with; this is what the output depends on.",
  "save.as": "save as {0}", "saved": "Saved as {0}.", "save.SVG": "What the tab Attention shows, as a picture that stays sharp.", "save.PNG": "The same as pixels.",
  "save.JSON": "The numbers, for programs.", "save.HTML": "A page of its own, with every head and what mattered; it needs nothing else.",
  "token": "Token", "token.asked": "This server asks for a token", "token.wrong": "That token is not right", "token.use": "Use it", "token.none": "Without a token this server does not answer; reload the page to give one.",
  "server.answered": "The server answered {0}.",
};

const ko = {
  "nav.page": "페이지", "language.choice": "언어", "dark": "어둡게", "light": "밝게", "dark.colours": "어두운 색", "light.colours": "밝은 색",
  "link.copy": "링크 복사", "link.copied": "링크를 복사했습니다.", "ask": "입력", "model": "모델", "compare.with": "비교할 모델", "none": "없음",
  "options": "설정", "stop": "멈춤", "stopped": "멈췄습니다.", "working": "…", "not.served": "링크에 있는 {0}은(는) 여기에서 제공되지 않습니다.",
  "run.translation": "번역", "run.continuation": "이어 쓰기", "run.blanks": "채우기", "run.labels": "분류", "run.spans": "찾기", "run.answer": "답하기", "run.text": "실행",
  "type.here": "여기에 입력하세요", "as.the.run": "학습한 대로", "too.long": "한 번에 {0}자까지 읽습니다.", "range": "{0}부터 {1}까지입니다.",
  "blank": "아직 읽을 것이 없습니다. 글을 입력하거나 예문을 고르세요.", "example": "예문", "example.image": "손으로 쓴 7", "image.yours": "읽을 이미지",
  "empty.output": "모델의 답이 여기에 나옵니다. 예를 들면:", "empty.panel": "아직 볼 것이 없습니다.", "nothing.written": "모델이 아무것도 쓰지 않았습니다.",
  "output.of": "{0}의 답", "look.inside": "{0} 들여다보기", "parameters": "매개변수 {0}개",
  "copy": "복사", "copied": "복사됨", "forced": "직접 고른 부분", "space": "공백", "tokens.label": "토큰. 모델이 덜 확신할수록 진합니다",
  "confidence": "신뢰도", "confidence.means": "이 글이 참조 글과 비교해 chrF2 {0} 이상일 확률입니다. 검증 데이터로 맞춘 값입니다.", "mean.probability": "토큰의 평균 확률", "seconds": "{0}초", "cut": "길이 제한에서 잘림", "prompt.cut": "프롬프트가 길어 앞부분은 읽지 않음",
  "alternatives": "이 자리에 올 수 있는 다른 토큰:", "sentence.look": "이 문장 들여다보기",
  "put.mask": "빠진 자리에 [MASK]를 넣으세요.", "blank.number": "빈칸 {0}", "no.spans": "찾은 것이 없습니다.", "no.answer": "글에 답이 없습니다.", "probability": "확률 {0}",
  "tab.attention": "어텐션", "tab.heads": "헤드", "tab.inside": "내부", "tab.steps": "한 단계씩", "tab.mattered": "중요했던 것", "tab.save": "저장",
  "attention": "어텐션", "head": "헤드", "heads": "헤드", "all.heads": "모든 헤드의 평균", "one.head": "헤드 하나", "head.number": "헤드 {0}", "whole.words": "단어 단위",
  "view": "보기", "ribbon": "선", "matrix": "행렬", "scale": "눈금", "absolute": "0부터 1까지", "relative": "가장 큰 값까지", "checkpoint": "학습 체크포인트",
  "training": "학습", "as.trained": "학습을 마친 모델", "after.updates": "업데이트 {0}회 후", "too.large": "여기에 그리기에는 너무 큽니다. JSON으로 저장하세요.",
  "ribbon.above": "바라본 대상", "ribbon.below": "바라보는 쪽", "looks.at": "바라보는 곳", "not.taken": "늘 남음",
  "image.veil": "이미지. 많이 본 곳일수록 밝습니다", "veil.rollout": "모든 층을 거친 어텐션(롤아웃)입니다.", "veil.row": "행렬의 한 행입니다.",
  "legend.attention": "어텐션", "legend.patch": "패치에 대한 어텐션", "legend.unsure": "진하기: 확신하지 못한 정도", "legend.masked": "볼 수 없음", "legend.partly": "단어의 일부만 볼 수 있음",
  "legend.open": "볼 수 있음", "legend.state": "유닛의 상태", "legend.position": "더해지는 값", "legend.lens": "확률", "legend.vector": "벡터의 유닛", "legend.occlusion": "없을 때의 손실",
  "ordered.by": "정렬 기준", "measure.effect": "영향", "measure.entropy": "엔트로피", "measure.distance": "거리", "measure.diagonality": "대각성",
  "heads.about": "없으면 가장 많이 잃는 헤드부터 보입니다. 영향: 그 헤드가 없을 때 출력 전체가 잃는 {0}. 골라서 자세히 보세요.",
  "heads.without": "엔트로피: 어텐션이 퍼진 정도(나트). 골라서 자세히 보세요.", "of.the.output": "출력 단위", "heads.table": "모든 측정값을 표로",
  "chart.keys": "화살표 키로 값을 읽습니다.", "logarithmic": "로그 눈금", "layer": "층", "where": "위치", "usual.place": "쓰는 쪽",
  "inside.nothing": "이 모델에는 더 그릴 내부가 없습니다.",
  "inside.gates": "게이트", "inside.gates.about": "글을 따라 각 게이트가 열린 정도(유닛의 평균)입니다. 1은 모두 통과, 0은 모두 막음입니다.",
  "inside.belt": "컨베이어 벨트로 본 셀", "inside.belt.about": "단어마다 무엇이 남고, 무엇이 더해지고, 얼마나 실려 있는지 보입니다.",
  "inside.states": "은닉 상태", "inside.states.about": "상태의 크기와, 포화되어 더 배우지 못하는 비율입니다.",
  "inside.gradients": "기울기", "inside.gradients.about": "출력이 각 입력에 얼마나 달려 있는지 보입니다. 곡선이 0으로 떨어지면 모델이 잊은 것입니다.",
  "inside.positions": "위치", "inside.positions.about": "각 위치의 임베딩에 더해지는 값과, 거리에 따라 위치들이 얼마나 비슷한지 보입니다.",
  "inside.masks": "마스크", "inside.masks.about": "애초에 볼 수 있는 곳입니다.",
  "inside.residual": "잔차 스트림", "inside.residual.about": "첫 블록 앞과 각 블록 뒤에서 벡터의 길이입니다.",
  "inside.norms": "정규화", "inside.norms.about": "각 정규화가 나누는 특징들의 퍼진 정도입니다.",
  "inside.lens": "로짓 렌즈", "inside.lens.about": "각 층이 마지막 층이라면 무엇이라고 할지 보입니다.",
  "states.units": "글을 따라 본 유닛 {1}개 중 {0}개", "positions.table": "세로는 위치, 가로는 차원 {1}개 중 {0}개", "positions.product": "내적의 평균", "positions.along": "두 위치의 거리에 따라",
  "steps": "단계", "step": "단계", "step.before": "한 단계 뒤로", "step.after": "한 단계 앞으로", "play": "재생", "pause": "일시 정지", "step.of": "{1}단계 중 {0}단계", "step.number": "{0}단계",
  "steps.about": "{0}을(를) 통해 토큰을 하나씩 봅니다. 화살표 키로 단계를 옮깁니다.",
  "steps.fixed": "이 모델은 어디도 바라보지 않습니다. 글에 대해 아는 모든 것이 고정된 벡터 하나에 담겨야 하므로 볼 어텐션이 없습니다. 그 벡터는 모든 단계에서 같습니다.",
  "steps.state": "이 모델은 어디도 바라보지 않습니다. 읽은 것에 대해 아는 모든 것은 단계마다 바뀌는 상태에 있습니다.",
  "step.looked": "바라본 곳", "energy": "에너지", "rods.energies": "막대 아래는 가중치와, 소프트맥스에 들어간 에너지입니다.",
  "rods.weights": "막대 아래는 가중치입니다. 에너지도 보려면 어텐션 탭에서 헤드 하나를 고르세요.",
  "vector.context": "문맥 벡터", "vector.context.about": "바라본 것의 가중합, 유닛 {1}개 중 {0}개입니다.", "vector.state": "상태", "vector.state.about": "디코더의 은닉 상태, 유닛 {1}개 중 {0}개입니다.",
  "vector.bottleneck": "하나뿐인 벡터", "vector.bottleneck.about": "디코더가 글에서 받는 전부, 유닛 {1}개 중 {0}개입니다. 변하지 않습니다.",
  "step.likeliest": "이 자리에서 가장 그럴듯한 토큰", "likeliest.about": "하나를 고르면 거기서부터 이어 갑니다.", "go.on": "여기서부터 이어 가기", "likeliest.only": "글을 다시 읽었을 때 가장 그럴듯했던 것입니다.",
  "mattered": "중요했던 것", "mattered.nothing": "이 글에서는 예측하는 것이 없습니다.", "mattered.about": "어텐션 옆에, 한 위치를 {0} 출력이 얼마나 덜 그럴듯해지는지 보입니다. 바라본 것이 출력을 좌우한 것과 같지는 않습니다.",
  "taken.taken out": "빼면", "taken.masked": "가리면", "taken.greyed": "회색으로 덮으면", "output": "출력", "occlusion": "없을 때의 손실", "mattered.all": "모든 출력을 행렬로",
  "agreement.well": "어텐션은 중요했던 것과 잘 맞습니다. 순위 상관 {0}.", "agreement.partly": "어텐션은 중요했던 것과 일부 맞습니다. 순위 상관 {0}.",
  "agreement.little": "여기서 어텐션은 중요했던 것과 거의 맞지 않습니다. 순위 상관 {0}.", "agreement.against": "여기서 어텐션은 중요했던 것과 다른 곳을 봅니다. 순위 상관 {0}.",
  "agreement.none": "이 어텐션은 중요했던 것과 비교할 수 없습니다.", "agreement.no.attention": "비교할 어텐션이 없습니다. 이것이 출력을 좌우한 것입니다.",
  "save.as": "{0}(으)로 저장", "saved": "{0}(으)로 저장했습니다.", "save.SVG": "어텐션 탭에 보이는 것을 선명한 그림으로.", "save.PNG": "같은 것을 픽셀로.",
  "save.JSON": "프로그램이 읽을 숫자로.", "save.HTML": "모든 헤드와 중요했던 것을 담은, 혼자서 열리는 페이지로.",
  "token": "토큰", "token.asked": "이 서버는 토큰을 요구합니다", "token.wrong": "토큰이 맞지 않습니다", "token.use": "사용", "token.none": "토큰 없이는 이 서버가 답하지 않습니다. 페이지를 다시 열어 입력하세요.",
  "server.answered": "서버가 {0}(으)로 답했습니다.",
};

export const TABLES = { en, ko };

// Labels that the server gives, by what they are in English; any other, as of a user's own task, stays as it is.
export const LABELS = {
  ko: {
    "Text": "글", "Text 1": "글 1", "Text 2": "글 2", "Image file": "이미지 파일", "How the text begins": "글의 시작", "Tokens": "토큰 수", "Temperature": "온도", "Top-p": "Top-p", "Seed": "시드",
    "Text with [MASK] where something is missing": "빠진 자리에 [MASK]를 넣은 글", "Question": "질문", "Text that may answer it": "답이 있을 수 있는 글", "Text to translate": "번역할 글", "Beam width": "빔 너비",
  },
};

export const LANGUAGES = [["ko", "한국어"], ["en", "English"]];

let language = "en";

export function setLanguage(code) {
  language = code in TABLES ? code : "en";
}

export const t = (name, ...values) => (TABLES[language][name] ?? name).replace(/\{(\d)\}/g, (_, n) => String(values[n] ?? ""));

export const translated = (label) => LABELS[language]?.[label] ?? label;

// What was chosen here before, or the first of the reader's languages that the page speaks.
export function preferred() {
  const kept = localStorage.getItem("sightline-language");
  const known = [kept, ...(navigator.languages ?? [navigator.language])].map((one) => String(one).slice(0, 2).toLowerCase());
  return known.find((one) => one in TABLES) ?? "en";
}
