// Sounds a short tone when the newest alert is another one than before, and when the sound is switched on.

const LENGTH = 0.35; // seconds
const TONES = [880, 1175]; // Hz, one after the other

function ring() {
  const context = (window.pairscopeSound ??= new AudioContext());
  context.resume(); // browsers let none begin before the first click or key
  const begin = context.currentTime;
  TONES.forEach((tone, place) => {
    const voice = context.createOscillator(), loudness = context.createGain();
    const start = begin + (place * LENGTH) / 2;
    voice.frequency.value = tone;
    loudness.gain.setValueAtTime(0.15, start);
    loudness.gain.exponentialRampToValueAtTime(0.001, start + LENGTH);
    voice.connect(loudness).connect(context.destination);
    voice.start(start);
    voice.stop(start + LENGTH);
  });
}

export default ({ data }) => {
  if (window.pairscopeHeard === data.newest) return;
  window.pairscopeHeard = data.newest;
  ring();
};
