"""Networks only: WaveGAN, ResNet-18 (classifier, mapper), and how they are loaded and saved."""
