// SHA-256, UTF-8, and values as Python writes them.

#include "bundles/sha256.h"
#include "messages/utf8.h"
#include "numbers.h"
#include "search/probabilities.h"
#include "vectors.h"

using namespace s2t;
using namespace s2t::tests;

namespace {

std::string hash_of(const std::string& text) {
    Sha256 hash;
    hash.update(reinterpret_cast<const unsigned char*>(text.data()), text.size());
    return hash.hex();
}

}  // namespace

TEST_SUITE("hashes_and_text") {
    TEST_CASE("SHA-256 of the examples of FIPS 180") {
        CHECK(hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        CHECK(hash_of("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        CHECK(hash_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
        CHECK(hash_of("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs"
                      "mnopqrstnopqrstu") == "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
        CHECK(hash_of(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }

    TEST_CASE("SHA-256 does not depend on the pieces") {
        const std::string text(300, 'x');
        for (const std::size_t size : {1U, 7U, 63U, 64U, 65U, 129U}) {
            Sha256 hash;
            for (std::size_t start = 0; start < text.size(); start += size) {
                const std::size_t count = std::min<std::size_t>(size, text.size() - start);
                hash.update(reinterpret_cast<const unsigned char*>(text.data()) + start, count);
            }
            CHECK(hash.hex() == hash_of(text));
        }
    }

    TEST_CASE("UTF-8 and what is not") {
        CHECK(is_utf8("ä€😀"));
        for (const char* wrong : {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80", "\xFF"}) {
            CHECK_FALSE(is_utf8(wrong));
        }
        CHECK(replaced_utf8("a\xE2\x82z\xF0\x9F\x98") == "a\uFFFDz\uFFFD");
        CHECK(replaced_utf8("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD");
        for (const char32_t character : {U'a', U'ä', U'€', U'😀'}) {
            CHECK(code_points(utf8(character)) == std::u32string(1, character));
        }
    }

    TEST_CASE("values are written as Python writes them") {
        CHECK(python_repr(std::string_view("it's\n\x7f é")) == "\"it's\\n\\x7f é\"");
        CHECK(python_repr(std::string_view("a'b\"c\\")) == "'a\\'b\"c\\\\'");
        CHECK(python_repr_bytes(std::string("\0'V\xFF.", 5)) == "b\"\\x00'V\\xff.\"");
        CHECK(python_repr(0.1) == "0.1");
        CHECK(python_repr(100.0) == "100.0");
        CHECK(python_repr(-1e20) == "-1e+20");
        CHECK(python_repr(1e-5) == "1e-05");
        CHECK(python_repr(0.0001) == "0.0001");
        CHECK(python_repr(static_cast<double>(-0.0054F)) == "-0.005400000140070915");
        CHECK(python_value(Json::parse(R"([1, 2.0, null, true, {"a": "b"}])")) == "[1, 2.0, None, True, {'a': 'b'}]");
        CHECK(python_path("./a//b/./c/") == "a/b/c");
        CHECK(python_path("/") == "/");
        CHECK(python_path("") == ".");
        CHECK(fixed(0.125, 2) == "0.12");
    }

    TEST_CASE("orders and sums") {
        const std::vector<float> scores{1.0F, std::nanf(""), 3.0F, impossible, 3.0F, 2.0F};
        CHECK(best_places(scores, 6) == std::vector<std::int64_t>{2, 4, 5, 0, 3, 1});
        CHECK(best_places(scores, 2) == std::vector<std::int64_t>{2, 4});
        CHECK(numpy_sum(std::vector<float>(1000, 0.5F)) == 500.0F);
        CHECK(single(1e300) == std::numeric_limits<float>::infinity());
        CHECK(single(-1e300) == impossible);
        std::vector<float> none(3, impossible);
        renormalize(none);
        CHECK(none == std::vector<float>(3, impossible));
    }
}
