// Write down what is said in WAV files:  minimal BUNDLE AUDIO.wav...
#include <exception>
#include <iostream>

#include <s2t/s2t.h>

int main(int count, char** arguments) {
    if (count < 3) {
        std::cerr << "usage: minimal BUNDLE AUDIO.wav...\n";
        return 2;
    }
    try {
        const s2t::Model model = s2t::Model::load(arguments[1]);
        s2t::GenerateOptions options;
        options.num_beams = 5;
        if (model.languages().count("de") > 0) {
            options.language = "de";
        }
        for (int index = 2; index < count; ++index) {
            const s2t::Result result = model.generate(s2t::read_wav(arguments[index]), options);
            std::cout << result.text << "  (score " << result.score << ")\n";
        }
    } catch (const s2t::Error& error) {
        std::cerr << "minimal: error: " << error.what() << '\n';
        return 1;
    }
}
